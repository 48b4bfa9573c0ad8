"""Gate: draws follow the target's distribution, as far as the planned number of tokens can tell.

The battery of `statistics` decides; here is said what it means. A pass needs the whole budget, no
refutation, and every departure that the profile requires excluded. Anything less is inconclusive.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from equivcheck.checks import tokens_alone
from equivcheck.checks.distribution_words import (
    bounds_in_words,
    broken_headline,
    details_of,
    missing_in_words,
    void_details,
    void_headline,
)
from equivcheck.checks.parameters import parameter_groups
from equivcheck.checks.subjects import RUN, command, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.score_table import Support
from equivcheck.records.shards import groups_of

if TYPE_CHECKING:
    from equivcheck.records.score_table import ScoreTable
    from equivcheck.statistics.battery import Battery
    from equivcheck.statistics.profiles import Profile, Required


MOST_NAMED = 3
"""Cases or parameter groups with a finding of their own; the details name more."""


def check(evidence: Evidence) -> list[Finding]:
    """One finding about the run's sampled distribution, and one a group or case that stands out."""
    planned = evidence.header.planned.get(SAMPLED, ())
    if not planned:
        return []
    if evidence.header.settings.law_evidence == "tokens":
        return tokens_alone.check(evidence)
    reason, doubt = unfit(evidence)
    if reason is not None:
        return [_finding(evidence, Outcome.INCONCLUSIVE, reason, doubt)]
    battery = distribution_of(evidence)
    assert battery is not None
    if battery.broken:
        return [*_broken(evidence, battery), *_void(evidence, battery)]
    return [_held_or_not(evidence, battery), *_void(evidence, battery)]


def distribution_of(evidence: Evidence) -> Battery | None:
    """What the battery says of a run's scores; None where it has none, or none that are sound."""
    found = _evaluated_once(evidence)
    return None if isinstance(found, str) else found


def _evaluated_once(evidence: Evidence) -> Battery | str | None:
    if evidence.scores is None:
        return None
    groups = parameter_groups(evidence, evidence.header.planned.get(SAMPLED, ()))
    stages = SAMPLED in evidence.header.arms and evidence.header.arms[SAMPLED].tells_stages
    return _evaluated(evidence.scores, profile_of(evidence), stages, tuple(groups.items()))


def profile_of(evidence: Evidence) -> Profile:
    """The profile that a run was made for."""
    from equivcheck.statistics.profiles import PROFILES

    return PROFILES[evidence.header.settings.profile]


@functools.lru_cache(maxsize=2)
def _evaluated(
    scores: ScoreTable, profile: Profile, stages: bool, groups: tuple[tuple[str, str], ...]
) -> Battery | str:
    """Evaluate a table once for check and report; why not, where that cannot be done.

    Tables are told apart by identity.
    """
    # Imports scipy, which takes longer than all other checks together.
    from equivcheck.statistics.battery import evaluate

    try:
        return evaluate(
            scores,
            alpha=profile.alpha,
            alpha_pass=profile.alpha_pass,
            stages=stages,
            groups=dict(groups),
        )
    except (ValueError, IndexError) as error:
        return visible(str(error))


def unfit(evidence: Evidence) -> tuple[Reason | None, str]:
    """Why the evidence says nothing of the distribution; None where it does."""
    from equivcheck.statistics.preflight import most_needed, shortfalls

    found, draws = evidence.preflight, evidence.draws.get(SAMPLED, {})
    if found is None:
        return Reason.NOT_SAMPLED, "the sampled distribution was not tested: nothing was drawn"
    if not draws:
        short = shortfalls(found, profile_of(evidence)) if found.positions else []
        if not short:
            return Reason.NOT_SAMPLED, "the sampled distribution was not tested: nothing was drawn"
        return Reason.UNDERPOWERED, missing_in_words(found, short, needed=most_needed(short))
    if evidence.scores is None:
        drawn = plural(len(draws), "draw")
        return Reason.NOT_SAMPLED, f"the sampled distribution was not tested: {drawn} and no scores"
    if evidence.scores.keys != tuple(draws):
        known = set(evidence.scores.keys)
        lacking = sum(key not in known for key in draws)
        what = f"{plural(lacking, 'draw')} of {len(draws):,} lack scores"
        if not lacking:
            what = "its scores are not those of its draws"
        return Reason.NOT_SAMPLED, f"the sampled distribution was not tested: {what}"
    scored = evidence.scores.starts[1:] - evidence.scores.starts[:-1]
    if scored.tolist() != [len(draw.token_ids) for draw in draws.values()]:
        return (
            Reason.NOT_SAMPLED,
            "the sampled distribution was not tested: not every token has its score",
        )
    if isinstance(why := _evaluated_once(evidence), str):
        return Reason.NOT_SAMPLED, f"the sampled distribution was not tested: {why}"
    return None, ""


def _lacking(evidence: Evidence) -> int:
    """Draws of planned cases that rounds before the last one, which may be cut short, lack."""
    planned = evidence.header.planned[SAMPLED]
    rounds = tokens_alone.by_round(evidence.draws[SAMPLED])
    lacking = 0
    for cases in groups_of(evidence.header, planned):
        last = max(
            (number for number in rounds if not rounds[number].keys().isdisjoint(cases)), default=0
        )
        whole = range(1, max(last, 2))
        lacking += sum(case not in rounds.get(number, {}) for number in whole for case in cases)
    return lacking


def _broken(evidence: Evidence, battery: Battery) -> list[Finding]:
    impossible = battery.impossible.total > 0
    reason = Reason.IMPOSSIBLE if impossible else Reason.DISTRIBUTION_BROKEN
    headline = broken_headline(evidence, battery)
    findings = [_finding(evidence, Outcome.FAIL, reason, headline, battery=battery)]
    for kind, names in (
        ("parameters", battery.culprit_groups),
        ("case", battery.culprit_cases),
    ):
        peaks = battery.groups if kind == "parameters" else battery.cases
        # Where most of them stand out, one by one they say nothing more.
        if len(names) > MOST_NAMED or len(names) == len(peaks):
            continue
        findings += [
            Finding(
                check="sampled",
                subject=RUN if kind == "parameters" else name,
                outcome=Outcome.FAIL,
                reason=reason,
                headline=f"the distribution is wrong for {kind} {name}: "
                f"{_power(peaks[name].highest)} by its draws alone",
                repeat=_repeat(evidence),
                estimate=_log10(peaks[name].highest),
                limit=_log10(math.log(len(peaks) / battery.alpha)),
                n=battery.tokens,
            )
            for name in names
        ]
    return findings


def _void(evidence: Evidence, battery: Battery) -> list[Finding]:
    """That drafts contradict q, where they do: about the drafter, so it fails nothing."""
    if battery.void is None:
        return []
    from equivcheck.statistics.draft_distribution import ALPHA_DRAFT

    return [
        Finding(
            check="sampled",
            subject=RUN,
            outcome=Outcome.PASS,
            reason=Reason.DRAFT_DISTRIBUTION_VOID,
            headline=void_headline(battery, battery.void),
            details=tuple(void_details(battery.void)),
            repeat=_repeat(evidence),
            estimate=_log10(battery.void.draft.highest),
            limit=_log10(-math.log(ALPHA_DRAFT)),
            n=battery.tokens,
        )
    ]


def _held_or_not(evidence: Evidence, battery: Battery) -> Finding:
    assert evidence.preflight is not None
    profile, budget = profile_of(evidence), evidence.preflight.tokens
    tokens = plural(battery.tokens, "token")
    if lacking := _lacking(evidence):
        what = f"no departure in {tokens}, but {plural(lacking, 'planned draw')} missing"
        return _finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED, what, battery=battery)
    if battery.tokens < budget:
        what = f"only {tokens} of {budget:,} were drawn; none passes before the whole budget"
        return _finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED, what, battery=battery)
    # Loads numpy, as all of `statistics` does.
    from equivcheck.statistics.impossible import border_allowed

    half = evidence.header.settings.setup.dtype != "float32"
    allowed = border_allowed(battery.tokens, half=half, alpha=battery.alpha)
    if battery.impossible.border > allowed:
        what = (
            f"no departure in {tokens}, but {battery.impossible.border:,} at the border of a "
            f"truncated distribution; arithmetic explains {allowed:,}"
        )
        return _finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_EXCLUDED, what, battery=battery)
    left = [
        required
        for required in profile.required
        if not any(required.excluded_by(margin) for margin in battery.margins)
    ]
    if left:
        names = ", ".join(required.name for required in left)
        what = f"no departure in {tokens}, but {names} not excluded; {_draw_on(battery, left)}"
        return _finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_EXCLUDED, what, battery=battery)
    judged = judged_tokens(evidence)
    what = f"{plural(judged, 'token')} follow the target's distribution: {bounds_in_words(battery)}"
    held = _finding(evidence, Outcome.PASS, Reason.DISTRIBUTION_HELD, what, battery=battery)
    return msgspec.structs.replace(held, n=judged)


def judged_tokens(evidence: Evidence) -> int:
    """Drawn tokens that count in the test: neither at a cut's border nor at a tie."""
    if evidence.scores is None:
        return 0
    support = evidence.scores.support
    return int(((support == Support.INSIDE) | (support == Support.OUTSIDE)).sum())


def _draw_on(battery: Battery, left: Sequence[Required]) -> str:
    """What it would take, if wealth went on to grow as it did."""
    from equivcheck.statistics.preflight import two_digits

    grown = {
        f"{margin.kind}={value:g}": log_e
        for margin in battery.margins
        for value, log_e in margin.log_e.items()
    }
    slowest = min(grown.get(required.name, 0.0) for required in left)
    more = battery.tokens * (-math.log(battery.alpha_pass) / slowest - 1.0) if slowest > 0 else 0.0
    amount = f"about {two_digits(more):,} more" if more > 0.0 else "on"
    return f"draw {amount} with --continue"


def _finding(
    evidence: Evidence,
    outcome: Outcome,
    reason: Reason,
    headline: str,
    *,
    battery: Battery | None = None,
) -> Finding:
    found = Finding(
        check="sampled",
        subject=RUN,
        outcome=outcome,
        reason=reason,
        headline=headline,
        repeat=_repeat(evidence),
    )
    if battery is None:
        return found
    return msgspec.structs.replace(
        found,
        details=details_of(evidence, battery),
        estimate=_log10(battery.combined.highest),
        limit=_log10(-math.log(battery.alpha)),
        n=battery.tokens,
    )


def _repeat(evidence: Evidence) -> str:
    return command("judge", evidence.header.run)


def _log10(log_e: float) -> float:
    return round(log_e / math.log(10), 3)


def _power(log_e: float) -> str:
    return f"e-value 10^{_log10(log_e):.1f}"
