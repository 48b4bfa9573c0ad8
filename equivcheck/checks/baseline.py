"""Gate: the baseline that a run asks for is there, can be read, and is comparable.

Whatever keeps it from being used is inconclusive: a gate without its baseline gates nothing.
"""

from __future__ import annotations

from equivcheck.baselines.facts import facts_of, first_difference, other_prompts
from equivcheck.checks.subjects import RUN, command, plural
from equivcheck.core.escape import head
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.baseline_record import Baseline
from equivcheck.records.records import Evidence

CELLS = 160


def check(evidence: Evidence) -> list[Finding]:
    """One finding, where a baseline is named or a limit needs one."""
    if not asked_for(evidence):
        return []
    usable, doubt = usable_baseline(evidence)
    if doubt is not None:
        return [doubt]
    assert usable is not None
    both = [key for key in evidence.asked if key in usable.cases]
    asked = plural(len(evidence.asked), "case")
    forced = usable.forced
    return [
        Finding(
            check="baseline",
            subject=RUN,
            outcome=Outcome.PASS if both else Outcome.INCONCLUSIVE,
            reason=Reason.HELD if both else Reason.NOTHING_COMPARED,
            headline=f"{usable.name} is comparable, and has {len(both)} of {asked}",
            details=(f"it did not pass, and was saved because: {head(forced, cells=CELLS)}",)
            if forced
            else (),
            n=len(both),
        )
    ]


def asked_for(evidence: Evidence) -> bool:
    """Whether the settings name a baseline, or a limit that needs one."""
    settings = evidence.header.settings
    drops = (limits.max_acceptance_drop for limits in settings.workload.values())
    return settings.baseline is not None or any(drop is not None for drop in drops)


def usable_baseline(evidence: Evidence) -> tuple[Baseline | None, Finding | None]:
    """The baseline, or the finding that says why there is none to use."""
    name = evidence.header.settings.baseline
    found = evidence.against
    if name is None:
        what = "max_acceptance_drop needs a baseline, and the settings name none"
        return None, _doubt(what, fix="equivcheck baseline save --name main")
    if found is None or found.name != name:
        return None, _doubt(f"{name}: not read: the run ended before that")
    if found.baseline is None:
        return None, _doubt(head(found.problem or "missing", cells=CELLS), fix=found.fix)
    prompts = {key: asked.request.prompt_digest for key, asked in evidence.asked.items()}
    differing = first_difference(base=found.baseline.facts, new=facts_of(evidence.header))
    differing = differing or other_prompts(found.baseline.prompts, prompts)
    if differing is not None:
        words = head(differing.words, cells=CELLS)
        doubt = _doubt(
            f"{name} is not comparable: {words}",
            reason=Reason.NOT_COMPARABLE,
            fix=command("baseline", "accept", evidence.header.run, "--name", name),
        )
        return None, doubt
    return found.baseline, None


def _doubt(what: str, *, reason: Reason = Reason.NO_BASELINE, fix: str | None = None) -> Finding:
    return Finding(
        check="baseline",
        subject=RUN,
        outcome=Outcome.INCONCLUSIVE,
        reason=reason,
        headline=what,
        repeat=fix,
    )
