"""CUDA graphs as far as a CPU can act them: the same buffers at each replay, and nothing else kept.

A recording is the operations that a step called, with the very tensors that they read and wrote.
Recording leaves no trace in tensors from outside, as it executes nothing on a GPU. A replay
calls the operations again, puts what comes of them where it was then, and spoils what was only
needed on the way, as another recording may that shares its memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal")
SPOILT = 77
"""An index that is there, and a number that is wrong."""


def tensors(of: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(of) if isinstance(leaf, Tensor)]


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Recording(TorchDispatchMode):
    """Notes what is called, and undoes what it did to tensors from outside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self.made: dict[int, Tensor] = {}
        """By place, what was made on the way; kept, so that no place is taken twice."""
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(name in str(func) for name in WAITS):
            raise RuntimeError(f"{func} waits for the device, which no recording may")
        given = tensors((args, kwargs))
        for tensor in given if func._schema.is_mutable else ():
            if place(tensor) not in self.made and place(tensor) not in self.before:
                self.before[place(tensor)] = (tensor, whole(tensor).clone())
        left = func(*args, **kwargs)
        taken = {place(tensor) for tensor in given}
        fresh = [tensor for tensor in tensors(left) if place(tensor) not in taken]
        for tensor in fresh:
            # As the last, should it take the place of something empty.
            self.made.pop(place(tensor), None)
            self.made[place(tensor)] = tensor
        if fresh or func._schema.is_mutable:
            self.calls.append((func, args, kwargs, left if fresh else None))
        return left

    def undo(self) -> None:
        for tensor, content in self.before.values():
            whole(tensor).copy_(content)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor's memory, not just the part that it shows."""
    flat = torch.empty(0, dtype=tensor.dtype)
    return flat.set_(tensor.untyped_storage())


class Graph:
    """What stands in for `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        self.recording = Recording()
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, left in self.recording.calls:
            again = func(*args, **kwargs)
            if left is not None:
                for old, new in zip(tensors(left), tensors(again), strict=True):
                    old.copy_(new)
        # What a step returns is what it made last.
        *spoilt, _ = self.recording.made.values()
        for tensor in spoilt:
            tensor.fill_(SPOILT)


class Cuda:
    """The parts of `torch.cuda` that recording takes, and what was asked of them."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.pools: list[object] = []
        self.waited = 0
        self.workspace: object | None = None
        """The pool that holds what library products write to on the way."""
        self.workspaces: list[object] = []
        """By graph, the pool of the workspace that was recorded."""

    @contextlib.contextmanager
    def graph(self, graph: Graph, *, pool: object) -> Iterator[None]:
        self.graphs.append(graph)
        self.pools.append(pool)
        self.workspace = self.workspace or pool
        self.workspaces.append(self.workspace)
        with graph.recording:
            yield
        graph.recording.undo()

    def clear_workspaces(self) -> None:
        self.workspace = None

    def synchronize(self) -> None:
        self.waited += 1

    def wait_stream(self, stream: object) -> None:
        """All is one stream here."""


class Event:
    """All is done at once here."""

    def record(self) -> None: ...

    def synchronize(self) -> None: ...
