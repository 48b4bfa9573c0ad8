"""Gate: sampled tokens are those that the engine's own noise gives by its rule.

For engines that name their random stream. Each coin and each draw then has one outcome, by p and q
of the scorer; one token that is another, beyond a near tie, is a failure. So is a replacement that
the engine says it drew by another weight than p - q. Where q is not the engine's own, only tokens
that rest on p alone are judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from equivcheck.checks.sampled import distribution_of, unfit
from equivcheck.checks.subjects import RUN, command, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.rules import Rule
from equivcheck.records.records import SAMPLED, Evidence

if TYPE_CHECKING:
    from equivcheck.statistics.replayed import ReplayCounts, Wrong


def check(evidence: Evidence) -> list[Finding]:
    """One finding, where an engine names its stream and its draws have sound scores."""
    found = replayed_of(evidence)
    if found is None:
        return []
    outcome, reason, headline = _judged(found, evidence)
    return [
        Finding(
            check="replayed",
            subject=RUN,
            outcome=outcome,
            reason=reason,
            headline=headline,
            details=tuple(_details(found, evidence.header.arms[SAMPLED].rule)),
            repeat=command("judge", evidence.header.run),
            estimate=float(found.wrong),
            limit=0.0,
            n=found.replayed if found.first is None else found.first.row + 1,
        )
    ]


def replayed_of(evidence: Evidence) -> ReplayCounts | None:
    """The replays of a run's draws; None where there are none, or their scores are not sound."""
    scores = evidence.scores
    if scores is None or scores.replays is None:
        return None
    battery = distribution_of(evidence)
    # What scores of other draws lack, the check of the distribution says.
    if battery is None or unfit(evidence)[0] is not None:
        return None
    # Loads numpy, as all of `statistics` does.
    from equivcheck.statistics.replayed import replayed

    return replayed(scores, void=battery.void is not None)


def _judged(found: ReplayCounts, evidence: Evidence) -> tuple[Outcome, Reason, str]:
    share = f"{found.replayed:,} of {plural(found.tokens, 'token')} replayed"
    if found.first is not None:
        how = "came otherwise than by the rule" if found.weights_wrong else "could not come"
        what = f"{share}, {found.wrong:,} {how}; the first: {_first(found.first, evidence)}"
        return Outcome.FAIL, Reason.REPLAY_DIFFERS, what
    if not found.replayed:
        # The test of the distribution stands without it.
        return Outcome.PASS, Reason.NOT_REPLAYED, f"{share}: {'; '.join(_left_out(found))}"
    if found.flipped > found.ties_allowed:
        what = (
            f"{share}, but {found.flipped:,} of {plural(found.ties, 'near tie')} fell the other "
            f"way; chance explains {found.ties_allowed:,}"
        )
        return Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION, what
    ties = f"{plural(found.ties, 'near tie')}, {found.flipped:,} of them the other way"
    return Outcome.PASS, Reason.REPLAYED, f"{share}, each came as noise and rule give it ({ties})"


def _first(wrong: Wrong, evidence: Evidence) -> str:
    from equivcheck.records.replays import Came

    emitted = evidence.draws[SAMPLED][wrong.key].token_ids[wrong.position]
    where = f"{visible(wrong.key)}, output token {wrong.position}"
    if wrong.came is Came.OTHER_COIN:
        return f"{where}, where a draft was judged against its coin"
    if wrong.came is Came.OTHER_WEIGHT:
        return f"{where}, where {emitted} was drawn by another weight than p - q"
    return f"{where}, where {emitted} came in place of {wrong.expected}"


def _details(found: ReplayCounts, rule: Rule) -> Iterator[str]:
    from equivcheck.records.replays import Came, RestsOn

    if (wrong := found.first) is not None:
        apart = "out of reach" if math.isinf(wrong.gap) else f"{wrong.gap:.3g} nats away"
        other = "weight" if wrong.came is Came.OTHER_WEIGHT else "decision"
        distributions = (
            "p alone" if wrong.rests_on is RestsOn.P else "p and on q as the engine has it"
        )
        yield (
            f"token {wrong.row + 1:,} of all draws; the other {other} is {apart}; arithmetic may "
            f"move a log-probability by {wrong.slack:.1g} at most"
        )
        yield f"it rests on {distributions}, and on the random stream that the engine names"
        yield (
            f"{plural(found.coins_wrong, 'draft')} against the coin, "
            f"{plural(found.tokens_wrong, 'token')} against the noise, "
            f"{plural(found.weights_wrong, 'replacement')} by another weight than p - q"
        )
        yield f"it says that it verifies by the rule {rule}; by another one, tokens come otherwise"
    yield f"{found.about_q:,} of the replayed rest on q, too"
    for line in _left_out(found):
        yield f"not replayed: {line}"


def _left_out(found: ReplayCounts) -> Iterator[str]:
    for why, count in found.left_out.items():
        yield f"{plural(count, 'token')}, since {why}"
