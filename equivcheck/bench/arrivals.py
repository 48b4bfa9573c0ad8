"""Reads `--arrivals` and `--goodput`, and draws the times at which requests come. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from equivcheck.core.errors import SettingsError
from equivcheck.metrics.load_records import Arrivals, Objectives

HOW = "write poisson:RATE, requests a second, or burst:N, requests at once"
LIMITS = {"ttft": "ttft", "tpot": "tpot", "e2e": "e2e", "e2el": "e2e"}
"""By the word for it, vLLM's among them."""


def parse_arrivals(given: Sequence[str], *, prompts: int) -> tuple[Arrivals, ...]:
    """Read ``poisson:8`` and ``burst:16``.

    Args:
        given: Of the command line.
        prompts: Requests of a run, where it is no burst.

    Raises:
        SettingsError: one is neither, is out of range, or is there twice.
    """
    found: list[Arrivals] = []
    for text in given:
        kind, _, value = text.partition(":")
        try:
            if kind == "poisson":
                arrivals = Arrivals(kind="poisson", requests=prompts, rate=float(value))
            elif kind == "burst":
                arrivals = Arrivals(kind="burst", requests=int(value))
            else:
                raise ValueError
        except ValueError:
            raise SettingsError(f"--arrivals {text!r}: {HOW}") from None
        if arrivals.wrong:
            raise SettingsError(f"--arrivals {text!r}: {arrivals.wrong}")
        if arrivals in found:
            raise SettingsError(f"--arrivals {text!r}: given twice")
        found.append(arrivals)
    return tuple(found)


def parse_objectives(given: Sequence[str]) -> Objectives | None:
    """Read ``ttft:300`` and the like, milliseconds; None: there are none.

    Raises:
        SettingsError: another word, no time above 0, or a word twice.
    """
    found: dict[str, float] = {}
    for text in given:
        word, _, value = text.partition(":")
        name = LIMITS.get(word)
        if name is None or name in found:
            problem = "one of ttft, tpot, e2e" if name is None else "named once"
            raise SettingsError(f"--goodput {text!r}: {word!r} has to be {problem}")
        try:
            found[name] = float(value) / 1e3
        except ValueError:
            found[name] = math.nan
        if not 0 < found[name] < math.inf:
            raise SettingsError(f"--goodput {text!r}: write {word}:MILLISECONDS, above 0")
    return Objectives(**found) if found else None


def times_of(arrivals: Arrivals, *, run: str) -> tuple[float, ...]:
    """Seconds at which the requests of a run come, from 0 on.

    Gaps of a Poisson process are independent and exponential. The same run has the same gaps,
    whoever serves it.

    Args:
        arrivals: How they come.
        run: Seeds them.
    """
    if arrivals.kind == "burst":
        return (0.0,) * arrivals.requests
    chance = Random(run)
    gaps = [chance.expovariate(arrivals.rate) for _ in range(arrivals.requests - 1)]
    return tuple(round(at, 6) for at in accumulate(gaps, initial=0.0))
