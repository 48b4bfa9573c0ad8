"""Gate: an arm's counters of drafted, accepted and emitted tokens add up to what it emitted.

Rates derived from counters that break these identities mean nothing, however plausible they look.
Where steps tell their drafts, `accepted` has to be how many of them begin what was emitted. Of a
last step that a stop cut inside of accepted drafts no more than bounds are known: sound engines
count what they accepted behind the cut, and no record shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from equivcheck.checks.draft_counts import impossible_counts
from equivcheck.checks.subjects import plural, repeat_command
from equivcheck.core.engine import Capabilities
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.records.records import Evidence, by_workload
from equivcheck.records.sample_keys import parse_draw


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each output whose counters contradict it, then one a workload.

    Of the draws of a case, the first that does so stands for the others.
    """
    outputs = [
        *(
            CountedOutput(key, arm, captured[key].generation, ())
            for arm, captured in evidence.captured.items()
            for key in evidence.asked
            if key in captured
        ),
        *(
            CountedOutput(parse_draw(key).case, arm, generation, (f"in {key}",))
            for arm, drawn in evidence.draws.items()
            for key, generation in drawn.items()
        ),
    ]
    arms = evidence.header.arms
    # How many tokens a text had is not known.
    outputs = [each for each in outputs if not arms[each.arm].text_alone]
    held = [each for each in outputs if _told(each.generation, arms[each.arm])]
    broken: dict[tuple[str, str], Finding] = {}
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.checks.columns import counters_add_up

    for output in held:
        if counters_add_up(output.generation, arms[output.arm]):
            continue
        faults = list(faults_of(output.generation, arms[output.arm]))
        if faults:
            broken.setdefault((output.case, output.arm), _finding(evidence, output, faults))
    bad = {case for case, _ in broken}
    return [*broken.values(), *_summaries(evidence, held, bad=bad)]


def _told(generation: Generation, capabilities: Capabilities) -> bool:
    promised = capabilities.reports_steps or capabilities.reports_counts
    return promised or generation.totals is not None


class CountedOutput(NamedTuple):
    """One answer or draw."""

    case: str
    arm: str
    generation: Generation
    where: tuple[str, ...]
    """Which of many, as a line."""


def _finding(evidence: Evidence, output: CountedOutput, faults: list[str]) -> Finding:
    return Finding(
        check="counters",
        subject=output.case,
        outcome=Outcome.FAIL,
        reason=Reason.COUNTERS,
        headline=f"{output.arm}: {faults[0]}",
        details=(*output.where, *(faults[:5] if len(faults) > 1 else ())),
        repeat=repeat_command(evidence, output.case),
        n=len(output.generation.steps),
    )


def _summaries(
    evidence: Evidence, held: list[CountedOutput], *, bad: set[str]
) -> Iterator[Finding]:
    for workload, outputs in by_workload(evidence, held, key=lambda output: output.case).items():
        broken = sum(case in bad for case in {output.case for output in outputs})
        steps = sum(len(output.generation.steps) for output in outputs)
        yield Finding(
            check="counters",
            subject=workload,
            outcome=Outcome.FAIL if broken else Outcome.PASS,
            reason=Reason.COUNTERS if broken else Reason.HELD,
            headline=f"counters contradict the output on {plural(broken, 'case')}"
            if broken
            else f"counters add up on {plural(len(outputs), 'output')} ({plural(steps, 'step')})",
            details=_totals_only(outputs),
            n=steps,
        )


def _totals_only(outputs: Sequence[CountedOutput]) -> tuple[str, ...]:
    totals = [each for each in outputs if not each.generation.steps]
    if not totals:
        return ()
    return (f"not judged step by step: {plural(len(totals), 'output')} of which totals are told",)


def faults_of(generation: Generation, capabilities: Capabilities) -> Iterator[str]:
    """Every identity that one output's counters break."""
    length = len(generation.token_ids)
    if generation.counts is not None:
        yield from impossible_counts(generation.counts, capabilities, tokens=length)
    elif capabilities.reports_counts and not generation.steps:
        yield f"reports counts, but gave none for {plural(length, 'token')}"
    if not generation.steps:
        if capabilities.reports_steps:
            yield f"reports steps, but gave none for {plural(length, 'token')}"
        return
    most = capabilities.num_speculative_tokens
    for index, step in enumerate(generation.steps):
        if not 0 <= step.accepted <= step.drafted:
            yield f"step {index}: accepted {step.accepted} of {step.drafted} drafted"
        named_as = step.first_rejected
        if capabilities.reports_rejected and (named_as is None) is (step.accepted < step.drafted):
            named = "no draft" if named_as is None else f"draft token {named_as}"
            yield (
                f"step {index}: names {named} as rejected, "
                f"accepted {step.accepted} of {step.drafted}"
            )
        if step.drafted > most:
            yield f"step {index}: drafted {step.drafted}, at most {most} announced"
        if not 1 <= step.emitted <= step.accepted + 1:
            yield f"step {index}: emitted {step.emitted} with {step.accepted} accepted"
        elif step.emitted < step.accepted + 1 and index < len(generation.steps) - 1:
            yield (
                f"step {index}: emitted {step.emitted} of {step.accepted + 1}, "
                "though only the last step may be cut"
            )
    emitted = sum(step.emitted for step in generation.steps)
    if emitted != length:
        yield f"steps emitted {plural(emitted, 'token')}, the output has {length}"
    else:
        yield from _misjudged(generation)


def _misjudged(generation: Generation) -> Iterator[str]:
    """Steps whose drafts, where told, say otherwise than `accepted`; steps add up to the output.

    A rejected draft may be replaced by the same token: a decoder that accepts less than it could is
    slower and lossless, and block verification draws anew (Sun et al., arXiv 2403.10444).
    """
    start = 0
    for index, step in enumerate(generation.steps):
        emitted = generation.token_ids[start : start + step.emitted]
        start += step.emitted
        if step.drafts is None:
            continue
        if len(step.drafts) != step.drafted:
            yield f"step {index}: names {plural(len(step.drafts), 'draft')} of {step.drafted}"
            continue
        alike = _common(step.drafts, emitted)
        cut = alike == len(emitted)
        if not (alike - 1 <= step.accepted if cut else step.accepted == alike):
            yield (
                f"step {index}: accepted {step.accepted} of {step.drafted} drafted, but "
                f"{alike} of the drafts {'begin' if alike != 1 else 'begins'} what was emitted"
            )


def _common(drafts: Sequence[int], emitted: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    pairs = enumerate(zip(drafts, emitted, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(drafts), len(emitted)))
