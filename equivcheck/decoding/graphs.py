"""Running a step: eagerly on a CPU, as a captured CUDA graph on a GPU.

A step reads and writes fixed buffers and ends in one packed tensor. On CUDA the whole of it,
drafting included, is recorded once per key and then replayed: one launch and one copy a step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

WARM_UPS = 2


class Captured(NamedTuple):
    """A recorded step and what recording it took."""

    graph: torch.cuda.CUDAGraph
    outcome: Tensor
    """Where each replay leaves its packed outcome."""
    seconds: float
    bytes: int
    """Device memory that the graph keeps for itself."""


class StepRunner:
    """Runs steps by key: the same key has to mean the same kernels on the same buffers."""

    def __init__(self, device: torch.device, *, state: Sequence[Tensor]) -> None:
        """`state` are the buffers that a step moves on, to be restored after warming up."""
        self.device = device
        self.state = state
        self.graphs: dict[Hashable, Captured] = {}

    def run(self, key: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """Run `step` once and return its packed outcome on the host."""
        if self.device.type != "cuda":
            return step()
        if key not in self.graphs:
            self.graphs[key] = self.capture(step)
        captured = self.graphs[key]
        captured.graph.replay()
        return captured.outcome.cpu()

    @property
    def cost(self) -> str | None:
        """What recording has taken so far, in a sentence; None: nothing was recorded."""
        if not self.graphs:
            return None
        seconds = sum(each.seconds for each in self.graphs.values())
        mebibytes = sum(each.bytes for each in self.graphs.values()) / 2**20
        return (
            f"{len(self.graphs)} CUDA graphs were captured in {seconds:.2f} s and keep "
            f"{mebibytes:.0f} MiB"
        )

    def capture(self, step: Callable[[], Tensor]) -> Captured:
        """Record a step. Capturing does not execute; warming up does, so it is undone."""
        started = time.perf_counter()
        before = [buffer.clone() for buffer in self.state]
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
                for buffer, saved in zip(self.state, before, strict=True):
                    buffer.copy_(saved)
        torch.cuda.current_stream(self.device).wait_stream(side)
        held = torch.cuda.memory_reserved(self.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outcome = step()
        return Captured(
            graph,
            outcome,
            seconds=time.perf_counter() - started,
            bytes=torch.cuda.memory_reserved(self.device) - held,
        )
