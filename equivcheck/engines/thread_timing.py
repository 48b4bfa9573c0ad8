"""How many CPU threads a run takes where nobody said: torch's own number, or one if far faster.

On a machine that others use, too, threads wait for the one of them that is off its core, at every
operation. One thread waits for nobody.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from equivcheck.core.settings import EngineSetup
from equivcheck.engines.device import choose_device, load_setup

Times = Callable[[EngineSetup, tuple[int, int]], tuple[list[float], list[float]]]
"""Seconds of the same work with one and with another number of threads, several times each."""

CLEARLY = 0.8
"""One thread has to take less than this share of the time: an idle machine keeps torch's number,
and on one where it makes no difference nothing changes from run to run."""
SLOTS = 8
"""Slots of a step; with the setup's batch size, as many rows as its products have."""
MOST_MULTIPLIED = 2**27
"""Multiplications of a product, a few milliseconds of one core; longer ones are cut."""
SLICE, LIMIT = 0.015, 0.3
"""Seconds of one measurement, some of a scheduler's turns; and of all, once there are three."""
LEAST = 3


def timed_threads(setup: EngineSetup, *, times: Times | None = None) -> int | None:
    """The number of threads to run a setup with; None: there is nothing to choose.

    Nothing is, on a GPU, and where torch has one thread anyway (``OMP_NUM_THREADS=1``).

    Args:
        setup: The pair, and the batch size and dtype of its steps.
        times: Measures; None: `product_seconds`.

    Raises:
        SettingsError, PairError: there is no such device, or the pair cannot be loaded.
    """
    usual = torch.get_num_threads()
    if usual == 1 or choose_device(setup).type != "cpu":
        return None
    one, usually = map(statistics.median, (times or product_seconds)(setup, (1, usual)))
    return 1 if one < CLEARLY * usually else usual


def product_seconds(
    setup: EngineSetup, threads: tuple[int, int]
) -> tuple[list[float], list[float]]:
    """Seconds of the target's matrix products, one of each shape, in turn with both numbers.

    Torch's number of threads is what it was, afterwards.
    """
    before = torch.get_num_threads()
    factors = _factors(setup)
    found: tuple[list[float], list[float]] = ([], [])
    try:
        for count in threads:  # for warming up
            _seconds(factors, threads=count, least=0.0)
        started = time.perf_counter()
        while len(found[0]) < LEAST or time.perf_counter() - started < LIMIT:
            for count, kept in zip(threads, found, strict=True):
                kept.append(_seconds(factors, threads=count, least=SLICE))
    finally:
        torch.set_num_threads(before)
    return found


def _factors(setup: EngineSetup) -> list[tuple[Tensor, Tensor]]:
    """Inputs [rows, in] and weights [out, in] of a product of each shape."""
    target = load_setup(setup).target
    rows = setup.batch_size * SLOTS
    weights = {tuple(each.shape): each for each in target.parameters() if each.dim() == 2}
    return [
        (weight.new_ones(rows, inner), weight[: max(1, MOST_MULTIPLIED // (rows * inner))])
        for (_, inner), weight in weights.items()
    ]


@torch.inference_mode()
def _seconds(factors: list[tuple[Tensor, Tensor]], *, threads: int, least: float) -> float:
    """Seconds of all products once, repeated for `least` seconds."""
    torch.set_num_threads(threads)
    started, passes = time.perf_counter(), 0
    while passes == 0 or time.perf_counter() - started < least:
        for inputs, weight in factors:
            functional.linear(inputs, weight)
        passes += 1
    return (time.perf_counter() - started) / passes
