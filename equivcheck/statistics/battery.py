"""The whole battery over one table of scores. Pure and deterministic; judges nothing.

Under a lossless decoder the combined e-process reaches ``1 / alpha`` at any look with probability
at most alpha (Ville). A check turns the result into findings.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from equivcheck.core.generation import ROUND_MARK
from equivcheck.records.score_table import ScoreTable, Support
from equivcheck.statistics.combination import Peak, combine, mean_over_cases, peak_of
from equivcheck.statistics.crossing import crossing_process
from equivcheck.statistics.culprits import culprits
from equivcheck.statistics.draft_distribution import RESTS_ON_Q, Void, contradicted, is_known
from equivcheck.statistics.excess import Excess, excess
from equivcheck.statistics.impossible import OUTSIDE, Impossible, impossible_events
from equivcheck.statistics.margins import Margin, margins
from equivcheck.statistics.output import OutputFactors
from equivcheck.statistics.serial import serial_process
from equivcheck.statistics.stages import BONUS, stage_processes
from equivcheck.statistics.wealth import Logs, mean_of

POINTS = 200
"""Points of the trajectory that is kept."""
MOST = 0.5
"""Share of the evidence, as a logarithm, from which a wrong distribution is said to explain it."""
ALWAYS_NEEDED = ("log_ratio", "bin_mass", "pit_vocabulary", "pit_rank", "pit_ratio")
"""Columns that every token inside the support has; others may be empty where they do not apply."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Battery:
    """What the tests say about a table. Wealth is in natural logarithms."""

    alpha: float
    alpha_pass: float
    tokens: int
    impossible: Impossible
    combined: Peak
    trajectory: tuple[tuple[int, float], ...]
    """Tokens and log wealth of the combined e-process at some of its looks, the last included."""
    failed_after: int | None
    """Tokens after which the combined e-process first reached ``1 / alpha``; None if never."""
    alone_after: int | None
    """Tokens after which the parts that need p alone refute the distribution, whatever q is."""
    void: Void | None
    """What rests on q and does not count; None where q stands."""
    parts: dict[str, Peak]
    """Those of `WEIGHTS` that apply and are not void."""
    stages: dict[str, Peak]
    """Each stage of the engine's rule that is not void; empty where stages do not apply."""
    alternatives: dict[str, float]
    """Wrong distribution to the log wealth of a bet on it, over all rows."""
    evidence: float
    """Log wealth of the strongest part, over all rows."""
    cases: dict[str, Peak]
    """Case to its own output e-process."""
    culprit_cases: tuple[str, ...]
    """Cases that stand out, any wrongly with probability at most alpha; `broken` decides first."""
    groups: dict[str, Peak]
    """Parameter group to its own output e-process, where groups were given."""
    culprit_groups: tuple[str, ...]
    margins: tuple[Margin, ...]
    excess: Excess

    @property
    def broken(self) -> bool:
        """Whether the distribution is refuted: by an impossible event or by the e-process."""
        return self.impossible.total > 0 or self.failed_after is not None

    @property
    def broken_alone(self) -> bool:
        """Whether the distribution is refuted whatever the draft distribution is; later drafts may
        void the rest."""
        return self.impossible.total > 0 or self.alone_after is not None

    @property
    def best_alternative(self) -> str | None:
        """The wrong distribution that fits best; None where no bet on any has won."""
        best = max(self.alternatives, key=lambda name: self.alternatives[name], default=None)
        return best if best is not None and self.alternatives[best] > 0.0 else None

    @property
    def explanation(self) -> str | None:
        """The wrong distribution that fits best, where a bet on it alone wins most of the evidence.

        None where none does, and where a token came that the distribution rules out: bets leave
        those out.
        """
        best = self.best_alternative
        if best is None or OUTSIDE in self.impossible.counts:
            return None
        return best if self.alternatives[best] > MOST * self.evidence else None


def evaluate(
    scores: ScoreTable,
    *,
    alpha: float,
    alpha_pass: float,
    stages: bool,
    groups: Mapping[str, str] | None = None,
) -> Battery:
    """Run every test.

    Args:
        scores: outputs in the order in which they were asked for.
        alpha: probability at most of refuting a lossless decoder.
        alpha_pass: the same of excluding the truth, for each margin.
        stages: whether the stages of the engine's rule can be told from its steps.
        groups: case to parameter group, to name a group that is broken.

    Raises:
        ValueError: a name in ``scores.alternatives`` cannot be read, or a column holds NaN: a
            comparison with NaN is false, and would pass for a distribution that holds.
    """
    _refuse_nan(scores)
    factors = OutputFactors(scores)
    by_case = _labelled(factors, scores, label=lambda case: case)
    group_of = groups or {}
    by_group = _labelled(factors, scores, label=lambda case: group_of.get(case))
    each = mean_over_cases(list(by_case.values()), rows=scores.rows, cases=len(by_case))
    pooled = factors.process(np.arange(scores.rows))
    parts = {"output": mean_of(pooled, each)}
    by_stage = stage_processes(scores) if stages else {}
    if by_stage:
        parts["stages"] = mean_of(*(by_stage[name] for name in RESTS_ON_Q))
        parts["bonus"] = by_stage[BONUS]
    parts |= {"serial": serial_process(scores), "crossing": crossing_process(scores)}
    for name, process in (parts | by_stage).items():
        if np.isnan(process).any():
            raise ValueError(f"the scores hold NaN in a column of the part {name!r}")
    looks, void = scores.ends, contradicted(scores, by_stage)
    of_p = {name: process for name, process in parts.items() if name != "stages"}
    alone = combine(of_p, planned=parts)
    combined = combine(parts) if void is None else alone
    failed_after, alone_after = (
        _first_over(process, looks=looks, alpha=alpha) for process in (combined, alone)
    )
    if void is not None:
        parts, by_stage = of_p, {BONUS: by_stage[BONUS]}
    totals = factors.library_totals()
    cases = _peaks(by_case, scores)
    group_peaks = _peaks(by_group, scores)
    return Battery(
        alpha=alpha,
        alpha_pass=alpha_pass,
        tokens=scores.rows,
        impossible=impossible_events(scores, knows_q=stages and is_known(scores)),
        combined=peak_of(combined, looks=looks),
        trajectory=_thinned(combined, looks=looks),
        failed_after=failed_after,
        alone_after=alone_after,
        void=void,
        parts={name: peak_of(process, looks=looks) for name, process in parts.items()},
        stages={name: peak_of(process, looks=looks) for name, process in by_stage.items()},
        alternatives=dict(zip(scores.alternatives, totals.tolist(), strict=True)),
        evidence=max(
            (float(process[-1]) for process in parts.values() if process.size), default=0.0
        ),
        cases=cases,
        culprit_cases=culprits({name: peak.highest for name, peak in cases.items()}, alpha=alpha),
        groups=group_peaks,
        culprit_groups=culprits(
            {name: peak.highest for name, peak in group_peaks.items()}, alpha=alpha
        ),
        margins=margins(scores, alpha_pass=alpha_pass),
        excess=excess(scores, level=alpha_pass),
    )


def _first_over(process: Logs, *, looks: NDArray[np.bool_], alpha: float) -> int | None:
    """Tokens after which a log e-process is first seen at ``1 / alpha``; None if never."""
    over = np.flatnonzero(looks & (process >= -math.log(alpha)))
    return int(over[0]) + 1 if over.size else None


def _thinned(process: Logs, *, looks: NDArray[np.bool_]) -> tuple[tuple[int, float], ...]:
    """At most `POINTS` looks, evenly spread, each with the process there."""
    rows = np.flatnonzero(looks)
    if rows.size > POINTS:
        rows = rows[np.linspace(0, rows.size - 1, POINTS).round().astype(np.int64)]
    return tuple((int(row) + 1, round(float(process[row]), 3)) for row in rows)


def _refuse_nan(scores: ScoreTable) -> None:
    inside = scores.support == Support.INSIDE
    for name in ALWAYS_NEEDED:
        if np.isnan(getattr(scores, name)[inside]).any():
            raise ValueError(f"the scores' column {name} holds NaN")


_Rows: TypeAlias = NDArray[np.int64]
_Labelled: TypeAlias = dict[str, tuple[_Rows, Logs]]


def _labelled(
    factors: OutputFactors, scores: ScoreTable, *, label: Callable[[str], str | None]
) -> _Labelled:
    """The output e-process of each label's own rows, in the table's order."""
    pieces: dict[str, list[_Rows]] = {}
    for output, key in enumerate(scores.keys):
        name = label(key.rpartition(ROUND_MARK)[0] or key)
        if name is not None:
            piece = np.arange(scores.starts[output], scores.starts[output + 1], dtype=np.int64)
            pieces.setdefault(name, []).append(piece)
    rows = {name: np.concatenate(found) for name, found in pieces.items()}
    return {name: (where, factors.process(where)) for name, where in rows.items()}


def _peaks(labelled: _Labelled, scores: ScoreTable) -> dict[str, Peak]:
    return {
        name: peak_of(process, looks=scores.ends[where])
        for name, (where, process) in labelled.items()
    }
