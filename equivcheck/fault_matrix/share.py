"""Some of many, and which rate that leaves open."""

from __future__ import annotations

from typing import NamedTuple

from equivcheck.core.findings import Interval

CONFIDENCE = 0.95


class Share(NamedTuple):
    """Some of many."""

    part: int
    whole: int

    def __str__(self) -> str:
        """``3 of 4``."""
        return f"{self.part} of {self.whole}"

    @property
    def interval(self) -> Interval | None:
        """95 %, of the rate: Clopper and Pearson's, which is exact. None of nothing."""
        if not self.whole:
            return None
        # scipy takes longer to import than all else here; only what shows an interval pays for it.
        from scipy.stats import binomtest

        found = binomtest(self.part, self.whole).proportion_ci(CONFIDENCE, method="exact")
        return Interval(float(found.low), float(found.high))


def percent(rate: float) -> str:
    """``1.7 %``."""
    return f"{100 * rate:.1f} %"
