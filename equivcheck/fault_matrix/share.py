"""Some of many, and which rate that leaves open."""

from __future__ import annotations

from typing import NamedTuple

from equivcheck.core.findings import Interval
from equivcheck.statistics.ratios import exact_interval


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
        return exact_interval(self.part, of=self.whole) if self.whole else None


def percent(rate: float) -> str:
    """``1.7 %``."""
    return f"{100 * rate:.1f} %"
