"""Gate: draws of target and candidate look alike by their tokens alone.

For targets that cannot score. A pass claims less than one by scores, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from equivcheck.checks.subjects import RUN, command, plural
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import ROUND_MARK, Generation
from equivcheck.records.records import SAMPLED, SAMPLED_TARGET, Evidence
from equivcheck.records.shards import groups_of

if TYPE_CHECKING:
    from equivcheck.statistics.black_box import PermutationTest

LEAST_ROUNDS = 4
"""With fewer, few arrangements differ from the one observed."""
LARGEST_UNSEEN = 0.1
"""A pass needs so much moved probability, at every position compared, to be visible."""


def _whole_rounds(
    arms: Sequence[Mapping[int, Mapping[str, object]]], cases: Sequence[str]
) -> list[int]:
    """Rounds in which every arm drew all of some cases."""
    return [
        number
        for number in sorted(arms[0])
        if all(set(cases) <= arm.get(number, {}).keys() for arm in arms)
    ]


def check(evidence: Evidence) -> list[Finding]:
    """One finding about the run, where tokens are all the evidence that was asked for."""
    if evidence.header.settings.law_evidence != "tokens":
        return []
    cases = evidence.header.planned.get(SAMPLED, ())
    if not cases:
        return []
    arms = [by_round(evidence.draws.get(arm, {})) for arm in (SAMPLED, SAMPLED_TARGET)]
    # Of a round that is not whole, the outputs that came first are the short ones.
    whole = {
        case: rounds
        for group in groups_of(evidence.header, cases)
        for rounds in [_whole_rounds(arms, group)]
        for case in group
    }
    ours, theirs = (
        {case: [arm[number][case] for number in whole[case]] for case in cases} for arm in arms
    )
    fewest = min(map(len, whole.values()))
    budget = evidence.preflight.tokens if evidence.preflight else 0
    # The budget is the candidate's; the target draws as many outputs, of other lengths.
    drawn = sum(map(len, chain(*ours.values())))
    if fewest < LEAST_ROUNDS:
        what = (
            f"the sampled distribution was not tested: both arms drew every case in "
            f"{plural(fewest, 'round')}, {LEAST_ROUNDS} needed"
        )
        return [_finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED, what)]
    from equivcheck.statistics.black_box import ALPHA, compare
    from equivcheck.statistics.preflight import two_digits

    found = compare({case: (ours[case], theirs[case]) for case in cases})
    if found.p_value < ALPHA:
        where = min(found.p_values, key=lambda name: found.p_values[name])
        what = f"sampled output differs from the target's in {where}: p = {found.p_value:.2g}"
        outcome, reason = Outcome.FAIL, Reason.DISTRIBUTION_BROKEN
    elif drawn < budget or not budget:
        what = f"only {plural(drawn, 'token')} of {budget:,} were drawn"
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED
    elif found.detectable > LARGEST_UNSEEN:
        needed = drawn * (found.detectable / LARGEST_UNSEEN) ** 2
        what = (
            f"no difference seen, but {plural(drawn, 'token')} are too few; it would "
            f"take about {two_digits(needed):,}"
        )
        outcome, reason = Outcome.INCONCLUSIVE, Reason.UNDERPOWERED
    else:
        what = f"no difference in {plural(drawn, 'token')}, by their tokens alone"
        outcome, reason = Outcome.PASS, Reason.DISTRIBUTION_HELD
    return [_finding(evidence, outcome, reason, what, tokens=drawn, found=found)]


def by_round(draws: Mapping[str, Generation]) -> dict[int, dict[str, tuple[int, ...]]]:
    """Round to case to the tokens that one arm drew."""
    rounds: dict[int, dict[str, tuple[int, ...]]] = {}
    for key, generation in draws.items():
        case, _, number = key.rpartition(ROUND_MARK)
        rounds.setdefault(int(number), {})[case] = generation.token_ids
    return rounds


def _finding(
    evidence: Evidence,
    outcome: Outcome,
    reason: Reason,
    headline: str,
    *,
    tokens: int = 0,
    found: PermutationTest | None = None,
) -> Finding:
    return Finding(
        check="sampled",
        subject=RUN,
        outcome=outcome,
        reason=reason,
        headline=headline,
        details=() if found is None else _details(found),
        repeat=command("judge", evidence.header.run),
        estimate=None if found is None else round(found.p_value, 6),
        n=tokens,
    )


def _details(found: PermutationTest) -> tuple[str, ...]:
    from equivcheck.statistics.black_box import ALPHA, PERMUTATIONS, POSITIONS

    values = ", ".join(f"{name} {value:.2g}" for name, value in found.p_values.items())
    return (
        f"p-values before correction: {values}; {ALPHA:g} allowed for all together",
        f"{plural(found.outputs, 'output')} of {plural(found.prompts, 'case')}, the first "
        f"{POSITIONS} tokens of each, {PERMUTATIONS:,} permutations within cases",
        f"{100 * found.detectable:.2g} % moved from one token to one other at each position would "
        f"have shown with 99 %",
        "less, or spread over many tokens, or dependence between tokens, need not show",
        "scores by the target see far smaller departures: law_evidence = scores",
    )
