"""Hold the candidate to the target token by token, on the cases a gate names.

Shared by `greedy` and `coupled`: one finding a case, one a workload, and the budget of near ties.
Under a shared identity contract nothing is excused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from equivcheck.checks.budget import ALPHA, ControlComparison, compare
from equivcheck.checks.divergence import describe
from equivcheck.checks.near_ties import Weighed, ended_differently, no_yardstick, untold
from equivcheck.checks.repeats import first_other_logits
from equivcheck.checks.sessions import turn_words
from equivcheck.checks.subjects import RUN, at_token, plural, repeat_command
from equivcheck.core.extras import NOT_INSTALLED, TORCH, how_to_install
from equivcheck.core.findings import Finding, Outcome, Reason, worst
from equivcheck.core.settings import Settings
from equivcheck.records.divergence import Pair, join, shared_contract
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    TARGET,
    Arbitration,
    Evidence,
    by_workload,
)

Weigh = Callable[[Pair, Arbitration | None, Settings], Weighed]
"""How a divergence is classified where no contract forbids it."""


class CaseComparison(NamedTuple):
    """One case, compared with the target."""

    pair: Pair
    weighed: Weighed
    arbitration: Arbitration | None

    @property
    def matched(self) -> int:
        """Tokens on which both arms agree before they part."""
        position = self.pair.position
        return len(self.pair.target.token_ids) if position is None else position

    @property
    def same_logits(self) -> int:
        """Output positions whose logits are reported and agree to the bit."""
        ours, theirs = self.pair.other.logit_digests, self.pair.target.logit_digests
        # Loads numpy, which is no part of what `checks` costs to import.
        from equivcheck.core.columns import number_same

        return number_same(ours, theirs) if ours and theirs else 0


def hold(evidence: Evidence, *, check: str, keys: Iterable[str], weigh: Weigh) -> list[Finding]:
    """One finding a case, then one a workload, then the budgets."""
    wanted = set(keys)
    pairs = [pair for pair in join(evidence, arm=CANDIDATE) if pair.key in wanted]
    cases = [_compare(evidence, pair, weigh=weigh) for pair in pairs]
    gathered = by_workload(evidence, cases, key=lambda case: case.pair.key)
    return [
        *(_case_finding(evidence, case, check=check) for case in cases),
        *(_summary(check, workload, found) for workload, found in gathered.items()),
        *_budgets(evidence, gathered, check=check),
    ]


def _compare(evidence: Evidence, pair: Pair, *, weigh: Weigh) -> CaseComparison:
    contract = shared_contract(evidence)
    if pair.position is None:
        if contract and (row := first_other_logits(pair.target, pair.other)) is not None:
            where = at_token(evidence, pair.key, row)
            because = f"logits differ in their bits at {where}, first of all"
            return CaseComparison(pair, Weighed(Outcome.FAIL, Reason.DIVERGED, because), None)
        return CaseComparison(pair, Weighed(Outcome.PASS, Reason.IDENTICAL, ""), None)
    arbitration = next(
        (
            arbitration
            for arbitration in evidence.arbitrations
            if (arbitration.key, arbitration.arm) == (pair.key, pair.arm)
        ),
        None,
    )
    if contract:
        because = f"both arms name the identity contract {contract!r}, which excuses nothing"
        return CaseComparison(pair, Weighed(Outcome.FAIL, Reason.DIVERGED, because), arbitration)
    weighed = weigh(pair, arbitration, evidence.header.settings)
    if arbitration is None and weighed.reason is Reason.NO_ARBITRATION:
        weighed = weighed._replace(because=weighed.because + _without_torch(evidence))
    # Of text alone an end, too, is judged by how likely what was emitted is.
    if pair.token_differs or pair.text_alone:
        weighed = no_yardstick(weighed, arm=untold(evidence))
    return CaseComparison(pair, weighed, arbitration)


def _without_torch(evidence: Evidence) -> str:
    """What would have judged a divergence, where the run had no torch to judge with."""
    if evidence.header.environment.get(TORCH) != NOT_INSTALLED:
        return ""
    return f"; the pair's weights judge it once torch is there: {how_to_install(TORCH)}"


def _case_finding(evidence: Evidence, case: CaseComparison, *, check: str) -> Finding:
    pair, (outcome, reason, because) = case.pair, case.weighed
    if pair.position is None and outcome is Outcome.FAIL:
        return Finding(
            check=check,
            subject=pair.key,
            outcome=outcome,
            reason=reason,
            headline=f"tokens are identical, but {because}: the identity contract is broken",
            repeat=repeat_command(evidence, pair.key),
            n=case.matched,
        )
    if pair.position is None:
        return Finding(
            check=check,
            subject=pair.key,
            outcome=outcome,
            reason=reason,
            headline=_identical(case),
            n=case.matched,
        )
    return Finding(
        check=check,
        subject=pair.key,
        outcome=outcome,
        reason=reason,
        headline=f"{_VERB[reason]} at output token {pair.position} of "
        f"{len(pair.target.token_ids)}{BY_TEXT * pair.text_alone}: {_what_differs(pair)}",
        details=(
            *describe(evidence, pair, case.arbitration, because=because),
            *turn_words(evidence, pair.key),
        ),
        repeat=repeat_command(evidence, pair.key),
        n=case.matched,
    )


def _identical(case: CaseComparison) -> str:
    if case.pair.text_alone:
        return f"text identical, {plural(case.matched, 'token')} by the pair's tokenizer"
    return f"identical to the last of {plural(case.matched, 'token')}"


_VERB = {
    Reason.DIVERGED: f"{CANDIDATE} diverged from {TARGET}",
    Reason.NUMERICS: f"{CANDIDATE} left {TARGET} at a near tie",
    Reason.NO_ARBITRATION: f"{CANDIDATE} left {TARGET}, for a reason not known,",
}


def _what_differs(pair: Pair) -> str:
    if not pair.token_differs or pair.position is None:
        return ended_differently(pair)
    return f"{pair.target.token_ids[pair.position]} became {pair.other.token_ids[pair.position]}"


def _summary(check: str, workload: str, cases: Sequence[CaseComparison]) -> Finding:
    counts = Counter(case.weighed.reason for case in cases)
    identical = counts[Reason.IDENTICAL]
    tokens = sum(case.matched for case in cases)
    text = any(case.pair.text_alone for case in cases)
    parts = [f"{identical} of {plural(len(cases), 'case')} {'text-' * text}identical"]
    parts += [f"{counts[reason]} {_COUNTED[reason]}" for reason in _COUNTED if counts[reason]]
    if rows := sum(case.same_logits for case in cases):
        parts.append(f"logits bit-identical at {plural(rows, 'position')}")
    return Finding(
        check=check,
        subject=workload,
        outcome=worst([case.weighed.outcome for case in cases]),
        reason=next(reason for reason in _GRAVEST_FIRST if counts[reason]),
        headline=f"{', '.join(parts)} ({plural(tokens, 'token')} matched{BY_TEXT * text})",
        estimate=identical / len(cases),
        n=tokens,
    )


BY_TEXT = " by the pair's tokenizer"
"""Says which tokens those of a text are."""
_GRAVEST_FIRST = (Reason.DIVERGED, Reason.NO_ARBITRATION, Reason.NUMERICS, Reason.IDENTICAL)
_COUNTED = {
    Reason.NUMERICS: "at near ties",
    Reason.NO_ARBITRATION: "differ for a reason not known",
    Reason.DIVERGED: "diverged",
}


def _budgets(
    evidence: Evidence, gathered: dict[str, list[CaseComparison]], *, check: str
) -> Iterator[Finding]:
    """Hold near ties, and what nobody arbitrated, against the control arm."""
    control = {pair.key: pair.position is not None for pair in join(evidence, arm=CONTROL)}
    parted = {
        workload: {
            case.pair.key
            for case in cases
            if case.weighed.reason in (Reason.NUMERICS, Reason.NO_ARBITRATION)
        }
        for workload, cases in gathered.items()
    }
    every = set().union(*parted.values())
    if not every:
        return
    flips = {key for key, differs in control.items() if differs}
    if uncontrolled := every - set(control):
        yield Finding(
            check=check,
            subject=RUN,
            outcome=Outcome.INCONCLUSIVE,
            reason=Reason.NOT_COMPARABLE,
            headline=f"{plural(len(uncontrolled), 'case')} parted from {TARGET} without a "
            f"{CONTROL} arm that shows how often arithmetic does this",
            n=len(every),
        )
        return
    alpha = ALPHA / (len(gathered) + 1)
    doubt = untold(evidence)
    held = {case.pair.key for cases in gathered.values() for case in cases} & set(control)
    for workload, cases in gathered.items():
        of_workload = {case.pair.key for case in cases} & held
        result = compare(cases=of_workload, candidate=parted[workload], control=flips)
        if result.p_value <= alpha:
            yield _budget_finding(check, workload, result, alpha=alpha, doubt=doubt)
    result = compare(cases=held, candidate=every, control=flips)
    yield _budget_finding(check, RUN, result, alpha=alpha, doubt=doubt)


def _budget_finding(
    check: str, subject: str, result: ControlComparison, *, alpha: float, doubt: str | None
) -> Finding:
    over = result.p_value <= alpha
    over_is = Outcome.FAIL if doubt is None else Outcome.INCONCLUSIVE
    counts = (
        f"{result.candidate} of {plural(result.cases, 'case')}, {CONTROL} "
        f"{result.control} (p = {result.p_value:.2g}, fails at {alpha:.1g})"
    )
    return Finding(
        check=check,
        subject=subject,
        outcome=over_is if over else Outcome.PASS,
        reason=Reason.NUMERICS_OVER_BUDGET if over else Reason.NUMERICS,
        headline=f"{'more near ties than arithmetic explains' if over else 'near ties in budget'}: "
        f"{counts}",
        estimate=result.p_value,
        limit=alpha,
        n=result.cases,
    )
