"""Gate: draws of target and candidate look alike by their tokens alone.

For targets that cannot score. A pass claims less than one by scores, and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equivcheck.checks.subjects import RUN, plural
from equivcheck.findings import Finding, Outcome, Reason
from equivcheck.generation import ROUND_MARK, Generation
from equivcheck.records import SAMPLED, SAMPLED_TARGET, Evidence

if TYPE_CHECKING:
    from equivcheck.statistics.black_box import Comparison

LEAST_OUTPUTS = 4
"""Of each arm and case: with fewer, few arrangements differ from the one observed."""


def check(evidence: Evidence) -> list[Finding]:
    """One finding about the run, where tokens are all the evidence that was asked for."""
    if evidence.header.settings.law_evidence != "tokens":
        return []
    cases = evidence.header.planned.get(SAMPLED, ())
    if not cases:
        return []
    arms = [evidence.draws.get(arm, {}) for arm in (SAMPLED, SAMPLED_TARGET)]
    ours, theirs = (by_case(draws) for draws in arms)
    few = min(min(len(ours.get(case, ())), len(theirs.get(case, ()))) for case in cases)
    budget = evidence.preflight.tokens if evidence.preflight else 0
    drawn = min(sum(len(each.token_ids) for each in draws.values()) for draws in arms)
    if few < LEAST_OUTPUTS:
        what = f"the sampled law was not tested: {few} draws of a case, {LEAST_OUTPUTS} needed"
        return [_finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED, what)]
    from equivcheck.statistics.black_box import ALPHA, compare

    found = compare({case: (ours[case], theirs[case]) for case in cases})
    if found.p_value < ALPHA:
        where = min(found.p_values, key=lambda name: found.p_values[name])
        what = f"sampled output differs from the target's in {where}: p = {found.p_value:.2g}"
        return [_finding(evidence, Outcome.FAIL, Reason.LAW_BROKEN, what, found=found)]
    if drawn < budget or not budget:
        what = f"only {plural(drawn, 'token')} of {budget:,} were drawn on each arm"
        return [_finding(evidence, Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED, what, found=found)]
    what = f"no difference in {plural(found.outputs, 'draw')}, by their tokens alone"
    return [_finding(evidence, Outcome.PASS, Reason.LAW_HELD, what, found=found)]


def by_case(draws: dict[str, Generation]) -> dict[str, list[tuple[int, ...]]]:
    """The tokens that one arm drew for each case."""
    outputs: dict[str, list[tuple[int, ...]]] = {}
    for key, generation in draws.items():
        outputs.setdefault(key.rpartition(ROUND_MARK)[0], []).append(generation.token_ids)
    return outputs


def _finding(
    evidence: Evidence,
    outcome: Outcome,
    reason: Reason,
    headline: str,
    *,
    found: Comparison | None = None,
) -> Finding:
    return Finding(
        check="sampled",
        subject=RUN,
        outcome=outcome,
        reason=reason,
        headline=headline,
        details=() if found is None else _details(found),
        repeat=f"equivcheck judge {evidence.header.run}",
        estimate=None if found is None else round(found.p_value, 6),
        n=0 if found is None else found.outputs,
    )


def _details(found: Comparison) -> tuple[str, ...]:
    from equivcheck.statistics.black_box import ALPHA, PERMUTATIONS, POSITIONS

    values = ", ".join(f"{name} {value:.2g}" for name, value in found.p_values.items())
    return (
        f"p-values before correction: {values}; {ALPHA:g} allowed for all together",
        f"{plural(found.outputs, 'output')} of {plural(found.prompts, 'case')}, the first "
        f"{POSITIONS} tokens of each, {PERMUTATIONS:,} permutations within cases",
        f"a mean squared distance of the position laws of {found.detectable:.2g} or more would "
        f"have shown with 99 %; smaller ones, and dependence between tokens, would not",
        "scores by the target see far smaller departures: law_evidence = scores",
    )
