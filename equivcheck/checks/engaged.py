"""Gate: speculation really ran, and on one side only.

What was never drafted, accepted or rejected was never tested, be it in one kind of request only,
and a target that speculates itself may have the candidate's bug: such a pass would be vacuous, so
either is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.checks.populations import Asked, never_accepted, one_sided
from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
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

    One more for the draws of the sampled distribution, and for each arm that ought to be plain and
    is not.
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
        yield _finding(workload, _never(found), found)
    asked = [(evidence.asked[answer.key].request, answer) for answer in answers]
    missing = [*_never(answers), *_in_part(asked), *_unreached(answers, gamma)]
    named = [*never_accepted(asked), *_not_judged(answers, gamma)]
    yield _finding(RUN, missing, answers, named=named)


def _in_part(asked: Sequence[Asked]) -> list[str]:
    """What never happened in one kind of request and did in others.

    Greedy or sampled prompts that were never drafted for are named however few they are: vLLM
    #34497 drafts nothing for rows with a temperature.
    """
    drafted: dict[str, bool] = {}
    for request, answer in asked:
        kind = "greedy" if request.sampling.greedy else "sampled"
        drafted[kind] = drafted.get(kind, False) or bool(answer.drafts_counted.drafted)
    idle = [f"nothing was drafted for {kind} prompts" for kind, any_ in drafted.items() if not any_]
    return list(dict.fromkeys((*idle, *one_sided(asked))))


def _of_draws(evidence: Evidence) -> Iterator[Finding]:
    """The sampled distribution is of an engine of its own, which itself has to have speculated."""
    draws = list(evidence.draws.get(SAMPLED, {}).values())
    if not draws:
        return
    asked = [(evidence.asked[parse_draw(each.key).case].request, each) for each in draws]
    missing = [*_never(draws), *one_sided(asked)]
    if evidence.header.arms[SAMPLED].num_speculative_tokens == 0:
        missing = [f"{SAMPLED} announces 0 speculative tokens"]
    yield _finding(RUN, missing, draws, where=" in draws")


def _not_plain(evidence: Evidence) -> Iterator[Finding]:
    """Arms that stand for decoding without drafts."""
    for arm in (TARGET, CONTROL, SAMPLED_TARGET):
        answers = [each.generation for each in evidence.captured.get(arm, {}).values()]
        answers += evidence.draws.get(arm, {}).values()
        drafted = sum(each.drafts_counted.drafted for each in answers)
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


def _never(answers: Sequence[Generation]) -> list[str]:
    """What has to have happened at least once, and has not."""
    told = [each.drafts_counted for each in answers if each.totals is not None]
    if not told:
        return ["no verify steps were reported, and no counts of drafts"]
    if not any(each.drafted for each in told):
        return ["nothing was drafted"]
    never = []
    if not any(each.accepted for each in told):
        never.append("no draft token was ever accepted")
    if not any(each.accepted < each.drafted for each in told):
        never.append("no draft token was ever rejected")
    return never


def _unreached(answers: Sequence[Generation], gamma: int) -> list[str]:
    """Draft slots that no step filled, and the bonus token where no step accepted all.

    Counts by slot tell only which slots had accepted drafts: one in the last is a step that
    accepted all. Without them neither is known.
    """
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.core.columns import steps_of

    if any(not answer.steps and answer.counts for answer in answers):
        slots = _slots(answers)
        if slots and len(slots) < gamma:
            return [f"no draft in slot {gamma - 1}, the last, was ever accepted"]
        return []
    steps = steps_of(answers)
    drafted = int(steps[:, 0].max()) if len(steps) else 0
    if drafted == 0:
        return []
    missing = []
    if drafted < gamma:
        slots_left = (
            f"slot {drafted}" if drafted == gamma - 1 else f"slots {drafted} to {gamma - 1}"
        )
        missing.append(f"draft {slots_left} never used")
    if not ((steps[:, 0] > 0) & (steps[:, 0] == steps[:, 1])).any():
        missing.append("no step accepted all of its drafts")
    return missing


def _slots(answers: Sequence[Generation]) -> list[int]:
    """Draft slots with accepted drafts, as far as told."""
    told = [each.totals.accepted_by_slot for each in answers if each.totals is not None]
    longest = max(map(len, told), default=0)
    return [slot for slot in range(longest) if any(each[slot] for each in told if slot < len(each))]


def _not_judged(answers: Sequence[Generation], gamma: int) -> Iterator[str]:
    """What the engine does not tell, and so was not looked for."""
    silent = sum(each.totals is None for each in answers)
    if 0 < silent < len(answers):
        yield f"not judged: {silent} of {plural(len(answers), 'answer')}, which tell no drafts"
    if any(not each.steps and each.counts for each in answers):
        what = (
            "steps with fewer drafts"
            if _slots(answers)
            else ("which draft slots were used, and whether a step accepted all of its drafts")
        )
        yield f"not judged, as the engine tells counts and no steps: {what}"


def _finding(
    subject: str,
    missing: list[str],
    answers: Sequence[Generation],
    *,
    where: str = "",
    named: Sequence[str] = (),
) -> Finding:
    counts = [answer.drafts_counted for answer in answers]
    totals_only = any(answer.counts and not answer.steps for answer in answers)
    steps = 0 if totals_only else sum(len(answer.steps) for answer in answers)
    drafted = plural(sum(each.drafted for each in counts), "draft token")
    happened = f"{sum(each.accepted for each in counts):,} of {drafted} accepted"
    happened += f" in {plural(steps, 'step')}" if steps else ""
    return Finding(
        check="engaged",
        subject=subject,
        outcome=Outcome.INCONCLUSIVE if missing else Outcome.PASS,
        reason=Reason.NOT_ENGAGED if missing else Reason.ENGAGED,
        headline=f"speculation was not put to the test{where}: {', '.join(missing)}"
        if missing
        else f"speculation ran{where}: {happened}",
        details=(*_lengths(answers), *_named(named)),
        n=steps,
    )


def _lengths(answers: Sequence[Generation]) -> Iterator[str]:
    from equivcheck.core.columns import steps_of

    steps = steps_of(answers)
    seen = sorted(set(steps[steps[:, 0] != 0, 1].tolist()))
    if seen:
        yield f"accepted lengths seen: {', '.join(map(str, seen))}"
    elif slots := _slots(answers):
        yield f"slots with accepted drafts: {', '.join(map(str, slots))}"


def _named(named: Sequence[str]) -> Iterator[str]:
    yield from map(visible, named[:NAMED])
    if len(named) > NAMED:
        yield f"and {len(named) - NAMED} more"
