"""Clocks: what a call takes, by CUDA events on a GPU, by the monotonic clock elsewhere.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import torch

Result = TypeVar("Result")
CUDA_EVENTS = "CUDA events"
MONOTONIC = "monotonic clock"


class CallTime(NamedTuple):
    """Two readings of one call, seconds."""

    seconds: float
    """By the clock."""
    wall: float
    """By the monotonic clock of the host."""


class Clock(Protocol):
    """Times a call."""

    name: str

    def time(self, call: Callable[[], Result]) -> tuple[Result, CallTime]:
        """Call, and say what it took."""
        ...


class MonotonicClock:
    """The host's clock."""

    name = MONOTONIC

    def time(self, call: Callable[[], Result]) -> tuple[Result, CallTime]:
        """Call, and say what it took."""
        started = time.perf_counter()
        result = call()
        wall = time.perf_counter() - started
        return result, CallTime(wall, wall)


class CudaClock:
    """Two events in the current stream, with everything before them finished first."""

    name = CUDA_EVENTS

    def __init__(self, device: torch.device) -> None:
        """Time work on this device."""
        self.device = device

    def time(self, call: Callable[[], Result]) -> tuple[Result, CallTime]:
        """Call, and say what it took between the events."""
        torch.cuda.synchronize(self.device)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        started = time.perf_counter()
        first.record(torch.cuda.current_stream(self.device))
        result = call()
        last.record(torch.cuda.current_stream(self.device))
        last.synchronize()
        wall = time.perf_counter() - started
        return result, CallTime(first.elapsed_time(last) / 1e3, wall)


def clock_of(device: torch.device) -> Clock:
    """The clock for work on a device."""
    return CudaClock(device) if device.type == "cuda" else MonotonicClock()
