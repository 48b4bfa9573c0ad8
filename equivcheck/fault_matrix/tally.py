"""The matrix in numbers: how much was caught, of what, and what is still open."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Outcome
from equivcheck.fault_matrix.result import Result, Said
from equivcheck.fault_matrix.seeds import Runs, Unit, controls_of, faults_of, medians
from equivcheck.fault_matrix.share import Share, percent

KINDS = {
    "losslessness": "losslessness",
    "interface": "the interface",
    "measurement": "measurement",
    "speed": "speed only",
}
"""What a fault breaks, in words."""
AFTER: dict[Unit, str] = {
    "answered": "{:,.0f} tokens answered",
    "drawn": "{:,.0f} tokens drawn where the distribution is tested",
}


class Tally(NamedTuple):
    """Counts over results of faults and controls."""

    caught: Share
    """Faults of which every run was caught."""
    by_kind: dict[str, Share]
    """What they break to how many of these were caught."""
    detected: Share
    """Runs of faults that were caught."""
    tokens: dict[Unit, float]
    """Median over faults of their median tokens to detection; without a unit that none has."""
    accused: Share
    """Control runs."""
    missed: tuple[str, ...]
    """Faults of which some run was not caught."""
    wrongly_accused: tuple[str, ...]
    """Controls, and faults that only cost speed: a worse drafter is no other output."""
    unsure: tuple[str, ...]
    """Controls on which the proof itself was inconclusive."""

    @property
    def exit_code(self) -> int:
        """0 where all is as it should be, 1 where it is not, 3 where it is not known."""
        if self.missed or self.wrongly_accused:
            return EXIT_CODES[Outcome.FAIL]
        return EXIT_CODES[Outcome.INCONCLUSIVE if self.unsure else Outcome.PASS]


def tally(results: Sequence[Result]) -> Tally:
    """Count."""
    faults, controls = faults_of(results), controls_of(results)
    lossless = [runs for runs in faults if runs.first.breaks == "speed"]
    return Tally(
        caught=share(faults),
        by_kind={
            kind: share([runs for runs in faults if runs.first.breaks == kind])
            for kind in KINDS
            if any(runs.first.breaks == kind for runs in faults)
        },
        detected=together([runs.caught for runs in faults]),
        tokens=middles(faults),
        accused=together([runs.accused for runs in controls]),
        missed=tuple(runs.first.id for runs in faults if not runs.always_caught),
        wrongly_accused=tuple(
            runs.first.id
            for runs in controls
            if any(result.accused or result.said is Said.BROKE for result in runs.results)
        )
        + tuple(runs.first.id for runs in lossless if runs.accused.part),
        unsure=tuple(
            runs.first.id
            for runs in controls
            if any(
                not result.caught and not result.accused and result.said is not Said.BROKE
                for result in runs.results
            )
        ),
    )


def share(faults: Sequence[Runs]) -> Share:
    """How many were caught in every run."""
    return Share(sum(runs.always_caught for runs in faults), len(faults))


def together(shares: Sequence[Share]) -> Share:
    """Several shares as one."""
    return Share(sum(one.part for one in shares), sum(one.whole for one in shares))


def middles(faults: Sequence[Runs]) -> dict[Unit, float]:
    """The median fault's tokens to detection, by unit: they differ by orders of magnitude."""
    found = {unit: list(medians(faults, unit)) for unit in AFTER}
    return {unit: statistics.median(counts) for unit, counts in found.items() if counts}


def sentence(counted: Tally) -> str:
    """The whole matrix in three sentences, the verdict first; without the last full stop."""
    parts = []
    if detected := counted.detected.interval:
        kinds = ", ".join(f"{KINDS[kind]} {found}" for kind, found in counted.by_kind.items())
        parts.append(
            f"{counted.caught} seeded faults caught ({kinds}), in {counted.detected} runs "
            f"(95 % interval of the rate: {percent(detected.low)} to {percent(detected.high)})"
        )
    if counted.tokens:
        words = ", or ".join(AFTER[unit].format(n) for unit, n in counted.tokens.items())
        parts.append(f"The median fault is seen after {words}")
    if counted.accused.whole:
        parts.append(accusations(counted.accused))
    return ". ".join(parts) or "nothing was run"


def accusations(accused: Share) -> str:
    """Control runs that were accused, and how often that may be at most."""
    interval = accused.interval
    told = f"{accused} control runs accused"
    if interval is None:
        return told
    return f"{told}: false alarms in at most {percent(interval.high)} of runs, by the 95 % interval"
