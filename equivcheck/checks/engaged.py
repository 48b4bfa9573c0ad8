"""Gate: speculation really ran, and on one side only.

What was never drafted, accepted or rejected was never tested, be it in one kind of request only,
and a target that speculates itself may have the candidate's bug: such a pass would be vacuous, so
either is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from equivcheck.checks.populations import Asked, never_accepted, one_sided
from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation, Step
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    SAMPLED,
    SAMPLED_TARGET,
    TARGET,
    Evidence,
    by_workload,
)
from equivcheck.records.sample_keys import parse_draw

NAMED = 5
"""Requests named in a finding."""


def check(evidence: Evidence) -> list[Finding]:
    """One finding a workload and one for the run, which has to have reached every draft slot.

    One more for the draws of the sampled law, and for each arm that ought to be plain and is not.
    """
    return [*_of_answers(evidence), *_of_draws(evidence), *_not_plain(evidence)]


def _of_answers(evidence: Evidence) -> Iterator[Finding]:
    captured = evidence.captured.get(CANDIDATE, {})
    answers = [captured[key].generation for key in evidence.asked if key in captured]
    if not answers:
        return
    gamma = evidence.header.arms[CANDIDATE].num_speculative_tokens
    if gamma == 0:
        yield _finding(RUN, [f"{CANDIDATE} announces 0 speculative tokens"], ())
        return
    for workload, found in by_workload(evidence, answers, key=lambda each: each.key).items():
        yield _finding(workload, _never(steps := _steps(found)), steps)
    steps = _steps(answers)
    asked = [(evidence.asked[answer.key].request, answer) for answer in answers]
    missing = [*_never(steps), *_in_part(asked), *_unreached(steps, gamma)]
    yield _finding(RUN, missing, steps, named=list(never_accepted(asked)))


def _in_part(asked: Sequence[Asked]) -> list[str]:
    """What never happened in one kind of request and did in others.

    Greedy or sampled prompts that were never drafted for are named however few they are: vLLM
    #34497 drafts nothing for rows with a temperature.
    """
    drafted: dict[str, bool] = {}
    for request, answer in asked:
        kind = "greedy" if request.sampling.greedy else "sampled"
        drafted[kind] = drafted.get(kind, False) or any(step.drafted for step in answer.steps)
    idle = [f"nothing was drafted for {kind} prompts" for kind, any_ in drafted.items() if not any_]
    return list(dict.fromkeys((*idle, *one_sided(asked))))


def _of_draws(evidence: Evidence) -> Iterator[Finding]:
    """The sampled law is that of an engine of its own, which has to have speculated itself."""
    draws = evidence.draws.get(SAMPLED, {})
    if not draws:
        return
    steps = _steps(draws.values())
    asked = [(evidence.asked[parse_draw(key).case].request, draw) for key, draw in draws.items()]
    missing = [*_never(steps), *one_sided(asked)]
    if evidence.header.arms[SAMPLED].num_speculative_tokens == 0:
        missing = [f"{SAMPLED} announces 0 speculative tokens"]
    yield _finding(RUN, missing, steps, where=" in draws")


def _not_plain(evidence: Evidence) -> Iterator[Finding]:
    """Arms that stand for decoding without drafts."""
    for arm in (TARGET, CONTROL, SAMPLED_TARGET):
        answers = [each.generation for each in evidence.captured.get(arm, {}).values()]
        steps = _steps([*answers, *evidence.draws.get(arm, {}).values()])
        drafted = sum(step.drafted for step in steps)
        engine = evidence.header.arms.get(arm)
        announced = engine.num_speculative_tokens if engine else 0
        if drafted or announced:
            told = plural(drafted, "draft token") if drafted else f"up to {announced} a step"
            yield Finding(
                check="engaged",
                subject=RUN,
                outcome=Outcome.INCONCLUSIVE,
                reason=Reason.NOT_COMPARABLE,
                headline=f"{arm} is no plain decoding: it drafts itself, {told}; a bug of both "
                f"sides compares equal",
            )


def _steps(answers: Iterable[Generation]) -> tuple[Step, ...]:
    return tuple(step for answer in answers for step in answer.steps)


def _never(steps: Sequence[Step]) -> list[str]:
    """What has to have happened at least once, and has not."""
    if not steps:
        return ["no verify steps were reported"]
    if not any(step.drafted for step in steps):
        return ["nothing was drafted"]
    never = []
    if not any(step.accepted for step in steps):
        never.append("no draft token was ever accepted")
    if not any(step.accepted < step.drafted for step in steps):
        never.append("no draft token was ever rejected")
    return never


def _unreached(steps: Sequence[Step], gamma: int) -> list[str]:
    """Draft slots that no step filled, and the bonus token where no step accepted all."""
    drafted = max((step.drafted for step in steps), default=0)
    if drafted == 0:
        return []
    missing = []
    if drafted < gamma:
        slots = f"slot {drafted}" if drafted == gamma - 1 else f"slots {drafted} to {gamma - 1}"
        missing.append(f"draft {slots} never used")
    if not any(0 < step.drafted == step.accepted for step in steps):
        missing.append("no step accepted all of its drafts")
    return missing


def _finding(
    subject: str,
    missing: list[str],
    steps: Sequence[Step],
    *,
    where: str = "",
    named: Sequence[str] = (),
) -> Finding:
    drafted = sum(step.drafted for step in steps)
    accepted = sum(step.accepted for step in steps)
    counts = f"{accepted:,} of {plural(drafted, 'draft token')} accepted"
    seen = sorted({step.accepted for step in steps if step.drafted})
    lengths = (f"accepted lengths seen: {', '.join(map(str, seen))}",) if seen else ()
    more = (f"and {len(named) - NAMED} more",) if len(named) > NAMED else ()
    return Finding(
        check="engaged",
        subject=subject,
        outcome=Outcome.INCONCLUSIVE if missing else Outcome.PASS,
        reason=Reason.NOT_ENGAGED if missing else Reason.ENGAGED,
        headline=f"speculation was not put to the test{where}: {', '.join(missing)}"
        if missing
        else f"speculation ran{where}: {counts} in {plural(len(steps), 'step')}",
        details=(*lengths, *map(visible, named[:NAMED]), *more),
        n=len(steps),
    )
