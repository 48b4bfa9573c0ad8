"""The matrix in numbers: how much was caught, of what, and what is still open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from equivcheck.proving.result import Result, Said

KINDS = {
    "losslessness": "losslessness",
    "interface": "the interface",
    "measurement": "measurement",
    "speed": "speed only",
}
"""What a fault breaks, in words."""


class Share(NamedTuple):
    """Some of many."""

    part: int
    whole: int

    def __str__(self) -> str:
        """``3 of 4``."""
        return f"{self.part} of {self.whole}"


class Tally(NamedTuple):
    """Counts over results of faults and controls."""

    caught: Share
    """Faults."""
    by_kind: dict[str, Share]
    """What they break to how many of these were caught."""
    accused: Share
    """Control runs."""
    missed: tuple[str, ...]
    """Faults that were not caught."""
    wrongly_accused: tuple[str, ...]
    unsure: tuple[str, ...]
    """Controls on which the proof itself was inconclusive."""

    @property
    def exit_code(self) -> int:
        """0 where all is as it should be, 1 where it is not, 3 where it is not known."""
        if self.missed or self.wrongly_accused:
            return 1
        return 3 if self.unsure else 0


def tally(results: Sequence[Result]) -> Tally:
    """Count."""
    faults = [result for result in results if result.breaks != "nothing"]
    controls = [result for result in results if result.breaks == "nothing"]
    return Tally(
        caught=share(faults),
        by_kind={
            kind: share([fault for fault in faults if fault.breaks == kind])
            for kind in KINDS
            if any(fault.breaks == kind for fault in faults)
        },
        accused=Share(sum(result.accused for result in controls), len(controls)),
        missed=tuple(fault.id for fault in faults if not fault.caught),
        wrongly_accused=tuple(
            dict.fromkeys(
                result.id for result in controls if result.accused or result.said is Said.BROKE
            )
        ),
        unsure=tuple(
            dict.fromkeys(
                result.id
                for result in controls
                if not result.caught and not result.accused and result.said is not Said.BROKE
            )
        ),
    )


def share(results: Sequence[Result]) -> Share:
    """How many were caught."""
    return Share(sum(result.caught for result in results), len(results))


def sentence(counted: Tally) -> str:
    """The whole matrix in one sentence, the verdict first."""
    if not counted.caught.whole and not counted.accused.whole:
        return "nothing was run"
    parts = []
    if counted.caught.whole:
        kinds = ", ".join(f"{KINDS[kind]} {found}" for kind, found in counted.by_kind.items())
        parts.append(f"{counted.caught} seeded faults caught ({kinds})")
    if counted.accused.whole:
        parts.append(f"{counted.accused} control runs accused")
    return "; ".join(parts)
