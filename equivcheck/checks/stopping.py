"""Gate: every arm stops where it has to, and nowhere else, and says truly why.

Judged from token ids and each request alone, without the other arm: an output may be identical to
the target's and still end wrongly in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from equivcheck.checks.subjects import by_workload, plural, repeat_command
from equivcheck.findings import Finding, Outcome, Reason
from equivcheck.generation import Generation, Request
from equivcheck.records import Captured, Evidence, Header


class Fault(NamedTuple):
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


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each broken output, then one a workload."""
    outputs = [
        (key, arm, captured[key])
        for arm, captured in evidence.captured.items()
        for key in evidence.asked
        if key in captured
    ]
    findings: list[Finding] = []
    broken: dict[str, int] = {}
    for key, arm, answer in outputs:
        asked = evidence.asked[key]
        faults = list(faults_of(answer, request=asked.request, header=evidence.header))
        if faults:
            broken[asked.workload] = broken.get(asked.workload, 0) + 1
            findings.append(_case_finding(evidence, key, arm=arm, faults=faults))
    for workload, held in by_workload(evidence, outputs, key=lambda output: output[0]).items():
        bad = broken.get(workload, 0)
        findings.append(
            Finding(
                check="stopping",
                subject=workload,
                outcome=Outcome.FAIL if bad else Outcome.PASS,
                reason=Reason.STOP_RULE if bad else Reason.HELD,
                headline=f"{plural(bad, 'output')} of {len(held)} broke a stop or length rule"
                if bad
                else f"stop and length rules held on {plural(len(held), 'output')}",
                n=len(held),
            )
        )
    return findings


def faults_of(answer: Captured, *, request: Request, header: Header) -> Iterator[Fault]:
    """Every rule that one output breaks."""
    generation = answer.generation
    ends = Ends(
        eos=frozenset(() if request.ignore_eos else header.eos_token_ids),
        stop=frozenset(request.stop_token_ids),
    )
    if not generation.token_ids:
        yield Fault(Reason.LENGTH, "no token at all")
        return
    yield from _length_faults(generation, request)
    yield from _content_faults(generation, request, ends=ends, vocab_size=header.vocab_size)
    yield from _ending_faults(generation, ends=ends, completed=answer.stop_completed_at)
    yield from _reason_faults(generation, request, ends=ends, completed=answer.stop_completed_at)


def _length_faults(generation: Generation, request: Request) -> Iterator[Fault]:
    length, most = len(generation.token_ids), request.max_new_tokens
    if length > most:
        yield Fault(Reason.LENGTH, f"{length} tokens, {most} allowed")
    if generation.finish_reason == "length" and length < most:
        yield Fault(Reason.LENGTH, f"says 'length' after {length} tokens, {most} allowed")


def _content_faults(
    generation: Generation, request: Request, *, ends: Ends, vocab_size: int
) -> Iterator[Fault]:
    banned = frozenset(request.sampling.banned_tokens)
    for index, token in enumerate(generation.token_ids):
        if not 0 <= token < vocab_size:
            yield Fault(Reason.STOP_RULE, f"token {index} is id {token}, of {vocab_size} ids")
        if token in banned:
            yield Fault(Reason.STOP_RULE, f"token {index} is id {token}, which is banned")
        if token in ends.every and index < request.sampling.min_new_tokens:
            least = request.sampling.min_new_tokens
            yield Fault(Reason.LENGTH, f"stops at token {index}; no stop id before token {least}")


def _ending_faults(generation: Generation, *, ends: Ends, completed: int | None) -> Iterator[Fault]:
    """Nothing may follow a stop."""
    last = len(generation.token_ids) - 1
    for index, token in enumerate(generation.token_ids[:-1]):
        if token in ends.every:
            yield Fault(
                Reason.STOP_RULE,
                f"{plural(last - index, 'token')} after stop id {token} at {index}",
            )
            return
    if completed is not None and completed < last:
        yield Fault(
            Reason.STOP_RULE,
            f"{plural(last - completed, 'token')} after a stop string, complete at {completed}",
        )


def _reason_faults(
    generation: Generation, request: Request, *, ends: Ends, completed: int | None
) -> Iterator[Fault]:
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
        yield Fault(
            Reason.STOP_RULE,
            f"says {generation.finish_reason!r}, its last token {last} says {given}",
        )


def _case_finding(evidence: Evidence, key: str, *, arm: str, faults: list[Fault]) -> Finding:
    shown = [fault.what for fault in faults[:5]]
    if len(faults) > len(shown):
        shown.append(f"and {len(faults) - len(shown)} more")
    return Finding(
        check="stopping",
        subject=key,
        outcome=Outcome.FAIL,
        reason=faults[0].reason,
        headline=f"{arm}: {faults[0].what}",
        details=tuple(shown) if len(faults) > 1 else (),
        repeat=repeat_command(evidence, key),
        n=len(evidence.captured[arm][key].generation.token_ids),
    )
