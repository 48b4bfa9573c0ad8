"""From evidence to a verdict: run every check, let the worst outcome win, say it in a sentence.

Pure and deterministic: the same evidence gives the same verdict, whatever was judged before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from equivcheck.checks import CHECKS, lossy
from equivcheck.checks.complete import left_out_words
from equivcheck.checks.identity import BY_TEXT
from equivcheck.checks.served import unserved_words
from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Finding, Outcome, Reason, worst
from equivcheck.records.divergence import texts_alone
from equivcheck.records.records import CANDIDATE, SAMPLED, TARGET, Evidence, VerdictRecord

WORDS = {
    Outcome.PASS: "EQUIVALENT",
    Outcome.FAIL: "NOT EQUIVALENT",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
}
IDENTITY_CHECKS = frozenset({"greedy", "coupled"})
DISTRIBUTION_CHECK = "sampled"
DISTRIBUTION_CHECKS = (DISTRIBUTION_CHECK, "replayed")
"""About tokens that were drawn many times over; each may stand for a case that was drawn."""
LIMIT_CHECKS = frozenset({"baseline", "acceptance"})
"""About what speculation gains, not about what it answers."""
LIMIT_WORD = "LIMIT NOT MET"
LOSSY_WORD = "LOSSY BY SETTING"
"""Verdict of a candidate that claims neither tokens nor distribution; it may still fail other
checks."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What a run has shown."""

    outcome: Outcome
    headline: str
    """One sentence, the verdict first."""
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Outcome to number of findings."""
        found = Counter(finding.outcome for finding in self.findings)
        return {outcome.value: found[outcome] for outcome in Outcome}

    @property
    def exit_code(self) -> int:
        """0 equivalent, 1 not equivalent, 3 inconclusive."""
        return EXIT_CODES[self.outcome]

    def sealed(self) -> VerdictRecord:
        """The record that ends a run's file."""
        return VerdictRecord(outcome=self.outcome, headline=self.headline, counts=self.counts)


INTERRUPTED = Finding(
    check="complete",
    subject=RUN,
    outcome=Outcome.INCONCLUSIVE,
    reason=Reason.MISSING,
    headline="the run was interrupted before its verdict, so evidence may be missing",
)


def judge(evidence: Evidence, *, finished: bool = True) -> Verdict:
    """Run every check over the evidence; findings already in it are not looked at.

    Args:
        evidence: What was captured.
        finished: Whether capture has come to its end. Of a stored run that is whether it is
            sealed; one that is not may have all its answers and still lack scores, and does not
            pass.
    """
    found = lossy.instead(evidence, [finding for _, check in CHECKS for finding in check(evidence)])
    findings = found if finished else (INTERRUPTED, *found)
    outcome = worst([finding.outcome for finding in findings])
    sentence = _sentence(evidence, findings, outcome)
    if rests := left_out_words(evidence.header.left_out, asked=len(evidence.asked)):
        sentence = f"{sentence}, {rests}"
    if untimed := unserved_words(evidence):
        sentence = f"{sentence}, {untimed}"
    return Verdict(
        outcome=outcome, headline=f"{_word(findings, outcome)} — {sentence}", findings=findings
    )


def lossless(findings: Sequence[Finding]) -> Outcome:
    """What was found about the answers alone, whatever the project's limits are."""
    return worst([finding.outcome for finding in findings if finding.check not in LIMIT_CHECKS])


def _word(findings: Sequence[Finding], outcome: Outcome) -> str:
    """What is lossless and only falls short of a limit is not called different.

    Nor is what is lossy by a setting, which claims nothing else.
    """
    if any(finding.reason is Reason.LOSSY_SETTING for finding in findings):
        return LOSSY_WORD
    failed = {finding.check for finding in findings if finding.outcome is Outcome.FAIL}
    return LIMIT_WORD if failed and failed <= LIMIT_CHECKS else WORDS[outcome]


def about_case(evidence: Evidence, findings: Sequence[Finding], key: str) -> list[Finding]:
    """What was found about a case.

    One that was drawn, and was not compared token by token, stands or falls with the distribution
    of all draws: what was found about that is part of it.
    """
    found = [finding for finding in findings if finding.subject == key]
    drawn = key in evidence.header.planned.get(SAMPLED, ())
    if drawn and not any(finding.check in IDENTITY_CHECKS for finding in found):
        found += [
            each for each in findings if each.check in DISTRIBUTION_CHECKS and each.subject == RUN
        ]
    return found


def candidate_name(evidence: Evidence) -> str:
    """What the arm under test is called in sentences."""
    capabilities = evidence.header.arms.get(CANDIDATE)
    speculates = capabilities is not None and capabilities.num_speculative_tokens > 0
    return "speculative" if speculates else CANDIDATE


def _sentence(evidence: Evidence, findings: Sequence[Finding], outcome: Outcome) -> str:
    name = candidate_name(evidence)
    if off := next((each for each in findings if each.reason is Reason.LOSSY_SETTING), None):
        failed = dict.fromkeys(each.check for each in findings if each.outcome is Outcome.FAIL)
        return f"{off.headline}" + (f"; failed: {', '.join(failed)}" if failed else "")
    cases = [
        finding
        for finding in findings
        if finding.check in IDENTITY_CHECKS and finding.subject in evidence.asked
    ]
    reasons = Counter(finding.reason for finding in cases)
    prompts = plural(len(cases), "prompt")
    if reasons[Reason.DIVERGED]:
        in_text = " in text" if texts_alone(evidence) else ""
        on = f"{reasons[Reason.DIVERGED]} of {prompts}"
        return f"{name} diverged{in_text} from {TARGET} on {on}"
    tokens = plural(sum(finding.n for finding in cases), "token")
    text = texts_alone(evidence)
    same = f"and {TARGET} are text-identical" if text else f"matched {TARGET} token for token"
    matched = (
        f"{name} {same} on {reasons[Reason.IDENTICAL]} of {prompts} ({tokens}{BY_TEXT * text})"
    )
    if reasons[Reason.NUMERICS]:
        matched += f", {reasons[Reason.NUMERICS]} left it at near ties"
    if held := _distribution_held(findings):
        by = f"from the {TARGET}'s distribution"
        if evidence.header.settings.law_evidence == "tokens":
            by = f"that do not differ visibly from the {TARGET}'s"
        drew = f"drew {plural(held.n, 'token')}{BY_TEXT * text} {by}"
        matched = f"{matched} and {drew}" if cases else f"{name} {drew}"
    if outcome is Outcome.PASS:
        return matched
    gravest = [finding for finding in findings if finding.outcome is outcome]
    if outcome is Outcome.FAIL and all(finding.check in LIMIT_CHECKS for finding in gravest):
        return f"{matched}, but {gravest[0].subject}: {gravest[0].headline}"
    names = tuple(dict.fromkeys(finding.check for finding in gravest))
    checks = ", ".join(names)
    if outcome is Outcome.FAIL and all(name in DISTRIBUTION_CHECKS for name in names):
        return f"{matched}, but {gravest[0].headline}" if cases else gravest[0].headline
    if outcome is Outcome.FAIL:
        return f"{matched}, but failed: {checks}" if cases or held else f"failed: {checks}"
    first = gravest[0] if gravest else None
    doubt = f"{_of(evidence, first)}: {first.headline}" if first else "no check had anything to say"
    return f"{matched}, but {doubt}" if cases or held else doubt


def _of(evidence: Evidence, finding: Finding) -> str:
    """The check, and the subject where a reader would take it for the whole run."""
    everything = finding.subject == RUN or len(evidence.header.suites) == 1
    return finding.check if everything else f"{finding.check} in {finding.subject}"


def _distribution_held(findings: Sequence[Finding]) -> Finding | None:
    return next((each for each in findings if each.reason is Reason.DISTRIBUTION_HELD), None)
