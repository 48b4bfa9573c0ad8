"""One e-process out of many: cases beside the pool, parts by weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from equivcheck.statistics.wealth import Flags, Logs

WEIGHTS = {"output": 0.5, "stages": 0.2, "bonus": 0.1, "serial": 0.1, "crossing": 0.1}
"""Part of the battery, to its share of the wealth."""
CAP = 35.0
"""A single case's log wealth is not counted beyond this, so that sums keep their precision; a
capped test supermartingale stopped at its cap is still one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peak:
    """An e-process in two numbers, looked at where rows end a step or an output."""

    last: float
    """Log wealth at the last look."""
    highest: float
    """The largest log wealth at any look: ``exp(-highest)`` is a valid p-value (Ville)."""


def peak_of(process: Logs, *, looks: Flags) -> Peak:
    """Summarise a log e-process [n] at its looks [n]; wealth starts at 1."""
    seen = process[looks]
    if seen.size == 0:
        return Peak(last=0.0, highest=0.0)
    return Peak(last=float(seen[-1]), highest=max(0.0, float(seen.max())))


def mean_over_cases(
    processes: Sequence[tuple[NDArray[np.int64], Logs]], *, rows: int, cases: int
) -> Logs:
    """Log of the mean wealth over all cases at every row: the part that sees one broken case.

    Args:
        processes: of each case, its rows in order and its log e-process over them.
        rows: rows of the whole table.
        cases: number of cases; one that has no rows yet counts with wealth 1.
    """
    gains = np.zeros(rows)
    for where, process in processes:
        # Frozen from the first time at the cap: a stopped process, not a hindsight.
        reached = np.maximum.accumulate(process >= CAP)
        gains[where] = np.diff(np.exp(np.where(reached, CAP, process)), prepend=1.0)
    return np.asarray(np.log(np.maximum(1.0 + np.cumsum(gains) / max(cases, 1), 1e-300)))


def combine(parts: Mapping[str, Logs], *, planned: Collection[str] | None = None) -> Logs:
    """Log of the weighted mean of the parts that apply, weights renormalised to sum to 1.

    Valid under any dependence between parts (Vovk and Wang, arXiv 1912.06116), as long as it was
    known beforehand which parts apply.

    Args:
        parts: by name.
        planned: the parts known beforehand, where some were dropped after a look at the data. A
            dropped part counts as 0, and its weight is lost: what is left never exceeds the mean
            of all, so that to drop parts never adds an accusation.
    """
    total = sum(WEIGHTS[name] for name in (parts if planned is None else planned))
    weighted = [process + np.log(WEIGHTS[name] / total) for name, process in parts.items()]
    return np.asarray(np.logaddexp.reduce(weighted, axis=0))
