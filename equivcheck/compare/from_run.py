"""Take a baseline from a judged run. Pure."""

from __future__ import annotations

from equivcheck.baselines.facts import facts_of, under_test
from equivcheck.checks.verdict import IDENTITY_CHECKS, Verdict, lossless
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Counts
from equivcheck.records.baseline_record import SCHEMA, Baseline, CaseFact
from equivcheck.records.records import CANDIDATE, Evidence


def baseline_of(evidence: Evidence, verdict: Verdict, *, name: str) -> Baseline:
    """What is kept of a run under ``name``."""
    header = evidence.header
    about: dict[str, list[Finding]] = {key: [] for key in evidence.asked}
    for finding in verdict.findings:
        if finding.subject in about:
            about[finding.subject].append(finding)
    answers = lossless(verdict.findings)
    return Baseline(
        equivcheck_baseline=SCHEMA,
        name=name,
        run=header.run,
        created=header.created,
        verdict=verdict.outcome,
        headline=verdict.headline,
        lossless=answers if answers is not verdict.outcome else None,
        facts=facts_of(header),
        under_test=under_test(header),
        environment=dict(header.environment),
        cases={key: _case(evidence, key, found) for key, found in about.items()},
        unsealed=evidence.unsealed,
    )


def _case(evidence: Evidence, key: str, found: list[Finding]) -> CaseFact:
    captured = evidence.captured.get(CANDIDATE, {}).get(key)
    counts = captured.generation.drafts_counted if captured else Counts(drafted=0, accepted=0)
    # Of equals, what was said about the tokens tells most.
    ranked = sorted(found, key=lambda f: (-f.outcome.severity, f.check not in IDENTITY_CHECKS))
    return CaseFact(
        drafted=counts.drafted,
        accepted=counts.accepted,
        outcome=ranked[0].outcome if ranked else Outcome.INCONCLUSIVE,
        state=(ranked[0].reason if ranked else Reason.NOTHING_COMPARED).value,
        prompt=evidence.asked[key].request.prompt_digest,
    )
