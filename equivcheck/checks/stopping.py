"""Gate: every arm stops where it has to, and nowhere else, and says truly why.

Judged from token ids and each request alone, without the other arm: an output may be identical to
the target's and still end wrongly in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from equivcheck.checks.subjects import plural, repeat_command
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation, Request
from equivcheck.records.divergence import texts_alone
from equivcheck.records.records import Evidence, GenerationRecord, Header, by_workload
from equivcheck.records.sample_keys import parse_draw

UNSEARCHED = (
    "not judged: draws of requests with stop strings, of which the records do not say where one "
    "is complete (written by an older version)"
)


class BrokenRule(NamedTuple):
    """One broken rule."""

    reason: Reason
    what: str


class Ends(NamedTuple):
    """The ids that end a request."""

    eos: frozenset[int]
    stop: frozenset[int]

    @property
    def every(self) -> frozenset[int]:
        """Both kinds."""
        return self.eos | self.stop


NO_ENDS = Ends(frozenset(), frozenset())


class StoppedOutput(NamedTuple):
    """One answer or draw, and what it broke."""

    case: str
    arm: str
    tokens: int
    faults: tuple[BrokenRule, ...]
    where: tuple[str, ...] = ()
    """Which of many, as a line."""
    searched: bool = True
    """Whether it is known where a stop string of its request is complete. Of text alone nothing
    else can be judged, so one without stop strings is not."""

    @property
    def judged(self) -> bool:
        """Whether all rules were tried, or one is broken anyway."""
        return self.searched or bool(self.faults)


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each broken output, then one a workload, which counts what was judged.

    Of the draws of a case, the first that is broken stands for the others.
    """
    outputs = outputs_of(evidence)
    shown: dict[tuple[str, str], Finding] = {}
    for output in outputs:
        if output.faults:
            shown.setdefault((output.case, output.arm), _case_finding(evidence, output))
    text = texts_alone(evidence)
    # Of text, `complete` says what is not judged.
    counted = [output for output in outputs if output.judged] if text else outputs
    workloads = by_workload(evidence, counted, key=lambda output: output.case)
    return [
        *shown.values(),
        *(_summary(workload, held, text=text) for workload, held in workloads.items()),
    ]


def outputs_of(evidence: Evidence) -> list[StoppedOutput]:
    """Every answer and draw, with what it broke."""
    return [
        StoppedOutput(
            case=each.case,
            arm=each.answer.arm,
            tokens=len(each.answer.generation.token_ids),
            faults=tuple(each.faults(evidence)),
            where=each.where,
            searched=each.searched,
        )
        for each in _outputs(evidence)
    ]


def judged_outputs(evidence: Evidence) -> Iterator[bool]:
    """Whether each answer and draw was judged; looks for faults only where that decides."""
    for each in _outputs(evidence):
        yield each.searched or any(each.faults(evidence))


def _summary(workload: str, outputs: Sequence[StoppedOutput], *, text: bool) -> Finding:
    judged = [output for output in outputs if output.judged]
    bad = sum(bool(output.faults) for output in judged)
    left = len(outputs) - len(judged)
    also = f", {plural(left, 'draw')} not judged" if left else ""
    if not judged:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NOTHING_COMPARED
        headline = f"no output was judged of {plural(left, 'draw')}"
    elif bad:
        outcome, reason = Outcome.FAIL, Reason.STOP_RULE
        headline = f"{plural(bad, 'output')} of {len(judged):,} broke a stop or length rule{also}"
    else:
        outcome, reason = Outcome.PASS, Reason.HELD
        rules = "stop strings" if text else "stop and length rules"
        headline = f"{rules} held on {plural(len(judged), 'output')}{also}"
    return Finding(
        check="stopping",
        subject=workload,
        outcome=outcome,
        reason=reason,
        headline=headline,
        details=(UNSEARCHED,) if left else (),
        n=len(judged),
    )


class _Output(NamedTuple):
    """One answer or draw, not judged yet."""

    case: str
    answer: GenerationRecord
    searched: bool
    """As in `StoppedOutput`."""
    where: tuple[str, ...] = ()
    """As in `StoppedOutput`."""

    def faults(self, evidence: Evidence) -> Iterator[BrokenRule]:
        """What it broke; a draw that was not searched is judged by its tokens alone."""
        drawn = bool(self.where)
        judge = inner_faults_of if drawn and not self.searched else faults_of
        request = evidence.asked[self.case].request
        return judge(self.answer, request=request, header=evidence.header)


def _outputs(evidence: Evidence) -> Iterator[_Output]:
    arms = evidence.header.arms
    for arm, captured in evidence.captured.items():
        for key, asked in evidence.asked.items():
            if answer := captured.get(key):
                searched = bool(asked.request.stop) or not arms[arm].text_alone
                yield _Output(key, answer, searched)
    for arm, drawn in evidence.draws.items():
        stops = evidence.stops_of_draws.get(arm, {})
        for key, generation in drawn.items():
            case = parse_draw(key).case
            stopped = bool(evidence.asked[case].request.stop)
            searched = key in stops if stopped else not arms[arm].text_alone
            answer = GenerationRecord(
                arm=arm, generation=generation, text="", stop_completed_at=stops.get(key)
            )
            yield _Output(case, answer, searched, (f"in {key}",))


def faults_of(
    answer: GenerationRecord, *, request: Request, header: Header
) -> Iterator[BrokenRule]:
    """Every rule that one output breaks."""
    generation, ends = answer.generation, ends_of(request, header)
    if header.arms[answer.arm].text_alone:
        # Which tokens there were is not known; that a text goes on behind a stop string is.
        yield from _ending_faults(generation, ends=NO_ENDS, completed=answer.stop_completed_at)
        return
    yield from inner_faults_of(answer, request=request, header=header)
    if generation.token_ids:
        yield from _ending_faults(generation, ends=ends, completed=answer.stop_completed_at)
        completed = answer.stop_completed_at
        yield from _reason_faults(generation, request, ends=ends, completed=completed)


def inner_faults_of(
    answer: GenerationRecord, *, request: Request, header: Header
) -> Iterator[BrokenRule]:
    """Broken rules about length and tokens, which need no text."""
    if header.arms[answer.arm].text_alone:
        return
    if not answer.generation.token_ids:
        yield BrokenRule(Reason.LENGTH, "no token at all")
        return
    ends = ends_of(request, header)
    yield from _length_faults(answer.generation, request)
    yield from _content_faults(answer.generation, request, ends=ends, vocab_size=header.vocab_size)


def ends_of(request: Request, header: Header) -> Ends:
    """The ids that end an answer to a request."""
    return Ends(
        eos=frozenset(() if request.ignore_eos else header.eos_token_ids),
        stop=frozenset(request.stop_token_ids),
    )


def _length_faults(generation: Generation, request: Request) -> Iterator[BrokenRule]:
    length, most = len(generation.token_ids), request.max_new_tokens
    if length > most:
        yield BrokenRule(Reason.LENGTH, f"{length} tokens, {most} allowed")
    if generation.finish_reason == "length" and length < most:
        yield BrokenRule(Reason.LENGTH, f"says 'length' after {length} tokens, {most} allowed")


def _content_faults(
    generation: Generation, request: Request, *, ends: Ends, vocab_size: int
) -> Iterator[BrokenRule]:
    banned = frozenset(request.sampling.banned_tokens)
    barred = banned | ends.every if request.sampling.min_new_tokens else banned
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.checks.columns import holds_none_of

    if holds_none_of(generation.token_ids, barred, vocab=vocab_size):
        return
    for index, token in enumerate(generation.token_ids):
        if not 0 <= token < vocab_size:
            yield BrokenRule(Reason.STOP_RULE, f"token {index} is id {token}, of {vocab_size} ids")
        if token in banned:
            yield BrokenRule(Reason.STOP_RULE, f"token {index} is id {token}, which is banned")
        if token in ends.every and index < request.sampling.min_new_tokens:
            least = request.sampling.min_new_tokens
            yield BrokenRule(
                Reason.LENGTH, f"stops at token {index}; no stop id before token {least}"
            )


def _ending_faults(
    generation: Generation, *, ends: Ends, completed: int | None
) -> Iterator[BrokenRule]:
    """Nothing may follow a stop."""
    last = len(generation.token_ids) - 1
    from equivcheck.checks.columns import first_of

    index = first_of(generation.token_ids, ends.every)
    if index is not None and index < last:
        token = generation.token_ids[index]
        yield BrokenRule(
            Reason.STOP_RULE,
            f"{plural(last - index, 'token')} after stop id {token} at {index}",
        )
        return
    if completed is not None and completed < last:
        yield BrokenRule(
            Reason.STOP_RULE,
            f"{plural(last - completed, 'token')} after a stop string, complete at {completed}",
        )


def _reason_faults(
    generation: Generation, request: Request, *, ends: Ends, completed: int | None
) -> Iterator[BrokenRule]:
    """The finish reason has to be one that the last token gives; a stop goes before a limit."""
    last = generation.token_ids[-1]
    true_reasons = set()
    if last in ends.eos:
        true_reasons.add("eos")
    if last in ends.stop or completed == len(generation.token_ids) - 1:
        true_reasons.add("stop")
    if not true_reasons and len(generation.token_ids) >= request.max_new_tokens:
        true_reasons.add("length")
    if generation.finish_reason not in true_reasons and (
        true_reasons or generation.finish_reason != "length"
    ):
        given = " or ".join(sorted(true_reasons)) or "nothing"
        yield BrokenRule(
            Reason.STOP_RULE,
            f"says {generation.finish_reason!r}, its last token {last} says {given}",
        )


def _case_finding(evidence: Evidence, output: StoppedOutput) -> Finding:
    faults = output.faults
    shown = [fault.what for fault in faults[:5]]
    if len(faults) > len(shown):
        shown.append(f"and {len(faults) - len(shown)} more")
    return Finding(
        check="stopping",
        subject=output.case,
        outcome=Outcome.FAIL,
        reason=faults[0].reason,
        headline=f"{output.arm}: {faults[0].what}",
        details=(*output.where, *(shown if len(faults) > 1 else ())),
        repeat=repeat_command(evidence, output.case),
        n=output.tokens,
    )
