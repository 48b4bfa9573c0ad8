"""What the draws say of the sampled distribution: part of the view where one was tested."""

from __future__ import annotations

import math

from msgspec import Struct

from equivcheck.checks.distribution_words import margin_in_words, void_headline
from equivcheck.checks.sampled import distribution_of, profile_of
from equivcheck.records.records import Evidence
from equivcheck.records.score_table import Support
from equivcheck.report.stages import StageRow, stage_rows

SHARES = tuple(share / 50 for share in range(1, 50))
"""At which the transform's distribution is kept."""
DISTRIBUTION_HEADER = ("part", "highest e-value")
BOUND_HEADER = ("required", "reached")
NOT_REACHED = "not reached"


class DistributionView(Struct, frozen=True, kw_only=True):
    """One run's draws against the target's distribution. E-values are decimal exponents."""

    tokens: int
    draws: int
    refuted: bool
    limit: float
    """The e-value from which the distribution is refuted."""
    curve: tuple[tuple[int, float], ...]
    """Tokens, and the gate's e-value after them."""
    quantiles: tuple[float, ...]
    """Quantiles of the randomised probability integral transform, at `SHARES`: a sound decoder's
    lie on the diagonal. Empty where no token is one that the distribution allows."""
    parts: tuple[tuple[str, str], ...]
    """What was tested, and the highest e-value against it."""
    bounds: tuple[tuple[str, str], ...]
    """What the profile requires to exclude, and what was excluded."""
    stages: tuple[StageRow, ...] = ()
    """Tokens by how they came to be emitted; empty where no steps are told."""
    void: str | None = None
    """That drafts contradict q, and by how much; None where they do not."""

    @property
    def transform(self) -> tuple[tuple[float, float], ...]:
        """Quantiles of the uniform distribution, each with the one observed."""
        return tuple(zip(SHARES, self.quantiles, strict=True)) if self.quantiles else ()


def distribution_view(evidence: Evidence) -> DistributionView | None:
    """Arrange what the battery found; None where nothing was drawn and scored."""
    scores, battery = evidence.scores, distribution_of(evidence)
    if scores is None or battery is None or not scores.rows:
        return None
    import numpy as np

    inside = scores.pit_rank[scores.support == Support.INSIDE]
    peaks = {"all": battery.combined} | battery.parts | battery.stages
    required = profile_of(evidence).required
    reached = {
        each.name: next(
            (
                words
                for margin in battery.margins
                if each.excluded_by(margin) and (words := margin_in_words(margin))
            ),
            NOT_REACHED,
        )
        for each in required
    }
    return DistributionView(
        tokens=battery.tokens,
        draws=len(scores.keys),
        refuted=battery.broken,
        limit=round(-math.log10(battery.alpha), 3),
        curve=tuple(
            (tokens, round(log_e / math.log(10), 3)) for tokens, log_e in battery.trajectory
        ),
        quantiles=tuple(round(float(value), 4) for value in np.quantile(inside, SHARES))
        if inside.size
        else (),
        parts=tuple(
            (name, f"10^{peak.highest / math.log(10):.1f}") for name, peak in peaks.items()
        ),
        bounds=tuple(reached.items()),
        stages=stage_rows(evidence, scores),
        void=void_headline(battery, battery.void) if battery.void else None,
    )


def distribution_lines(distribution: DistributionView) -> tuple[str, ...]:
    """The same in a few lines of plain text."""
    parts = dict(distribution.parts)
    tested = ", ".join(f"{name} {value}" for name, value in distribution.parts if name != "all")
    excluded = [words for _, words in distribution.bounds if words != NOT_REACHED]
    left = [name for name, words in distribution.bounds if words == NOT_REACHED]
    said = [
        f"sampled distribution: {distribution.tokens:,} tokens of {distribution.draws:,} draws, "
        f"highest e-value {parts['all']} (refuted from 10^{distribution.limit:g})",
        f"by part: {tested}",
    ]
    if distribution.void:
        said.append(distribution.void)
    if not distribution.refuted:
        unknown = f"; not excluded: {', '.join(left)}" if left else ""
        said.append(f"excluded: {', '.join(excluded) or 'nothing'}{unknown}")
    return tuple(said)
