"""Running what is done over and over: eagerly on a CPU, as captured CUDA graphs on a GPU.

A step reads and writes fixed buffers and ends in one packed tensor. On CUDA the whole of it,
drafting included, is recorded once per key and then replayed: one launch and one copy a step. The
copy is not waited for. The next step is started first, so that the device never idles while the
host reads what the last one said. Reading prompts is recorded likewise.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

WARM_UPS = 1
"""Enough to compile and load every kernel, which must not happen while a step is recorded."""
Step = Callable[[], Tensor]


class CapturedGraph(NamedTuple):
    """A recorded step and what recording it took."""

    graph: torch.cuda.CUDAGraph
    outcome: Tensor
    """Where each replay leaves its packed outcome."""
    seconds: float
    bytes: int
    """Device memory that it has added to what the recordings share."""


class Landing(NamedTuple):
    """An outcome on its way to the host."""

    outcome: Tensor
    """On the host; to be read when the copy is done."""
    copied: torch.cuda.Event | None
    """None: there was nothing to copy."""

    def read(self) -> Tensor:
        """Wait until it is here."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.outcome


class Recorder:
    """Runs steps by key: the same key has to mean the same kernels on the same buffers."""

    def __init__(self, device: torch.device, *, state: Sequence[Tensor] = ()) -> None:
        """`state` are the buffers that a step moves on, to be restored after warming up."""
        self.device = device
        self.state = state
        self.graphs: dict[Hashable, CapturedGraph] = {}
        self.pool: Any = None
        """Memory that all recordings share: one is replayed at a time, and nothing of it is kept
        but what it leaves, which is read before the next."""
        self.side: torch.cuda.Stream | None = None
        """Where steps are warmed up; one, since libraries keep workspaces for each stream."""

    @property
    def records(self) -> bool:
        """Whether steps are recorded here."""
        return self.device.type == "cuda"

    def execute(self, key: Hashable, step: Step) -> Tensor:
        """Run `step`, or have the device run its recording; its outcome, on the device.

        The next execution of that recording overwrites it.
        """
        if not self.records:
            return step()
        captured = self.recorded(key, step)
        captured.graph.replay()
        return captured.outcome

    def recorded(self, key: Hashable, step: Step) -> CapturedGraph:
        """The recording of a step, made if there is none."""
        if key not in self.graphs:
            self.graphs[key] = self.capture(step)
        return self.graphs[key]

    def clear(self) -> None:
        """Forget all recordings, and the memory that they had."""
        self.graphs.clear()
        self.pool = None

    def capture(self, step: Step) -> CapturedGraph:
        """Record a step. Capturing does not execute; warming up does, so it is undone."""
        started = time.perf_counter()
        before = [buffer.clone() for buffer in self.state]
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        side = self.side = self.side or torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
                for buffer, saved in zip(self.state, before, strict=True):
                    buffer.copy_(saved)
        torch.cuda.current_stream(self.device).wait_stream(side)
        with own_workspaces():
            # Recording begins with the same, which would count as memory given back.
            torch.cuda.empty_cache()
            held = torch.cuda.memory_reserved(self.device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                outcome = step()
            taken = torch.cuda.memory_reserved(self.device) - held
        return CapturedGraph(graph, outcome, seconds=time.perf_counter() - started, bytes=taken)


@contextlib.contextmanager
def own_workspaces() -> Iterator[None]:
    """Have what is recorded inside take memory of its own for the workspaces of library products.

    Torch keeps one for each stream. Later recordings would go on writing to that of the first,
    wherever it is gone with, or once somebody gives it back: torch.compile does at each of its
    recordings, and replays of ours then met illegal addresses.
    """
    torch._C._cuda_clearCublasWorkspaces()
    try:
        yield
    finally:
        torch._C._cuda_clearCublasWorkspaces()


class StepRunner(Recorder):
    """Runs decoding steps and brings their outcomes to the host."""

    def __init__(
        self, device: torch.device, *, state: Sequence[Tensor], lag: int | None = None
    ) -> None:
        """`lag` is by how many steps outcomes come late, 0 or 1. None: 1 on CUDA, 0 elsewhere."""
        super().__init__(device, state=state)
        self.lag = int(device.type == "cuda") if lag is None else lag
        self.flying: Landing | None = None

    def run(self, key: Hashable, step: Step) -> Tensor | None:
        """Start `step`; the packed outcome, on the host, of the one `lag` calls before, if any."""
        landing = self.launch(key, step)
        if not self.lag:
            return landing.read()
        landed, self.flying = self.flying, landing
        return None if landed is None else landed.read()

    def wait(self) -> None:
        """Until the device has done all that it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()

    def forget(self) -> None:
        """Drop an outcome that nobody waits for any more."""
        self.flying = None

    def launch(self, key: Hashable, step: Step) -> Landing:
        """Execute `step` and send its outcome to the host."""
        left = self.execute(key, step)
        if not self.records:
            return Landing(left, None)
        copied = torch.cuda.Event()
        # A buffer of its own: the one before is perhaps still being read.
        outcome = torch.empty_like(left, device="cpu", pin_memory=True)
        outcome.copy_(left, non_blocking=True)
        copied.record()
        return Landing(outcome, copied)


def cost_of(recorders: Iterable[Recorder]) -> str | None:
    """What recording has taken so far, in a sentence; None: nothing was recorded."""
    made = [captured for recorder in recorders for captured in recorder.graphs.values()]
    if not made:
        return None
    seconds = sum(each.seconds for each in made)
    mebibytes = sum(each.bytes for each in made) / 2**20
    return f"{len(made)} CUDA graphs were captured in {seconds:.2f} s and keep {mebibytes:.0f} MiB"
