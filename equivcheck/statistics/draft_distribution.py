"""Whether the draft distribution q that scoring computed is the one that the engine drafts from.

The drafter is not on trial: a decoder that drafts by any distribution, and uses that distribution
in its rule, is lossless. As soon as something contradicts q, all that rests on q is void, and
tokens are compared with p alone. That only drops parts, so it never adds an accusation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from equivcheck.records.score_table import LOOKUP_DRAFTS, ONE_HOT_DRAFTS, ScoreTable
from equivcheck.statistics.combination import Peak, peak_of
from equivcheck.statistics.impossible import Impossible, impossible_under_q
from equivcheck.statistics.stages import ACCEPT, DRAFT, RECOVERED
from equivcheck.statistics.wealth import Logs

ALPHA_DRAFT = 1e-3
"""Probability at most that q is void although drafts follow it and the rule is kept."""
RESTS_ON_Q = (ACCEPT, RECOVERED)
"""Stages that mean nothing without q."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Void:
    """What contradicts q, and what is void for it."""

    events: Impossible
    """What a decoder that drafts from q never does."""
    draft: Peak
    """The test whether drafts follow q; from ``ln(1 / ALPHA_DRAFT)`` on they do not."""
    stages: dict[str, Peak]
    """Stages that would have counted."""


def is_known(scores: ScoreTable) -> bool:
    """Whether q is the engine's own for certain: that of certain drafts is, a model's is not."""
    return scores.draft_distribution in (LOOKUP_DRAFTS, ONE_HOT_DRAFTS)


def contradicted(scores: ScoreTable, stages: Mapping[str, Logs]) -> Void | None:
    """What is void; None where q stands, or where no stage was tested.

    An impossible rejection or replacement counts against q as a draft with q = 0 does: of a decoder
    that drafts from a slightly different distribution they come long before its drafts show it. A
    rule that is really broken moves the output off p, and is refuted by that.

    Args:
        scores: of all draws so far.
        stages: `stage_processes` of them; empty where no stage applies.
    """
    if not stages or is_known(scores):
        return None
    events, draft = impossible_under_q(scores), peak_of(stages[DRAFT], looks=scores.ends)
    if not events.total and draft.highest < -math.log(ALPHA_DRAFT):
        return None
    peaks = {name: peak_of(stages[name], looks=scores.ends) for name in RESTS_ON_Q}
    return Void(events=events, draft=draft, stages=peaks)
