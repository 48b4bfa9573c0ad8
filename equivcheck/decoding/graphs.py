"""Running a step: eagerly on a CPU, as a captured CUDA graph on a GPU.

A step reads and writes fixed buffers and ends in one packed tensor. On CUDA the whole of it,
drafting included, is recorded once per key and then replayed: one launch and one copy a step.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

WARM_UPS = 2


class StepRunner:
    """Runs steps by key: the same key has to mean the same kernels on the same buffers."""

    def __init__(self, device: torch.device, *, state: Sequence[Tensor]) -> None:
        """`state` are the buffers that a step moves on, to be restored after warming up."""
        self.device = device
        self.state = state
        self.graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def run(self, key: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """Run `step` once and return its packed outcome on the host."""
        if self.device.type != "cuda":
            return step()
        if key not in self.graphs:
            self.graphs[key] = self.capture(step)
        graph, outcome = self.graphs[key]
        graph.replay()
        return outcome.cpu()

    def capture(self, step: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """Record a step. Capturing does not execute; warming up does, so it is undone."""
        before = [buffer.clone() for buffer in self.state]
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
                for buffer, saved in zip(self.state, before, strict=True):
                    buffer.copy_(saved)
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outcome = step()
        return graph, outcome
