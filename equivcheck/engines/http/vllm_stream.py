"""vLLM's streamed answers: one chunk an engine step, so that sizes of chunks tell verify steps.

Beside them stand the drafted and accepted tokens of each step that drafted. A step without drafts
and one whose drafts were all rejected give a token each: where these can be told apart in only one
way, the steps are told, and otherwise none of them is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Step
from equivcheck.core.serving import Emission
from equivcheck.core.validation import decoded, explain
from equivcheck.engines.http.completions import Choice, Usage
from equivcheck.engines.http.vllm_words import Metrics, VllmAnswer, VllmSpeculation
from equivcheck.engines.http.wire import BrokeError

PREFIX = b"data:"
DONE = b"[DONE]"


class Chunk(Struct, frozen=True, kw_only=True):
    """One event of a stream; figures of speculation come in the last."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    metrics: Metrics | None = None
    system_fingerprint: str | None = None
    error: Any = None


class Streamed(Struct, frozen=True, kw_only=True):
    """A whole stream."""

    answer: VllmAnswer
    sizes: tuple[int, ...]
    """Tokens of each chunk that had some."""
    ends: tuple[int, ...]
    """Bytes of the stream up to the end of each of these chunks."""


def assembled(body: bytes, *, place: str) -> Streamed:
    """A stream as one answer.

    Raises:
        BrokeError: it has no end.
        EngineError: it reports an error, or is none.
    """
    events, ends, at = [], [], 0
    for line in body.splitlines(keepends=True):
        at += len(line)
        if line.startswith(PREFIX):
            events.append(line.removeprefix(PREFIX).strip())
            ends.append(at)
    if not events or events[-1] != DONE:
        raise BrokeError(f"{place}: broke off its stream")
    chunks = [_chunk(event, place=place) for event in events[:-1]]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    if not choices:
        raise EngineError(f"{place}: a stream without an answer")
    told = [choice.token_ids for choice in choices]
    token_ids = None
    if None not in told:
        token_ids = tuple(token for ids in told for token in ids or ())
    sizes = [sum(len(each.token_ids or ()) for each in chunk.choices) for chunk in chunks]
    last = chunks[-1]
    whole = msgspec.structs.replace(
        choices[-1], token_ids=token_ids, prompt_token_ids=choices[0].prompt_token_ids
    )
    prints = [chunk.system_fingerprint for chunk in chunks if chunk.system_fingerprint]
    return Streamed(
        answer=VllmAnswer(
            choices=(whole,),
            usage=last.usage,
            metrics=last.metrics,
            system_fingerprint=prints[-1] if prints else None,
        ),
        sizes=tuple(size for size in sizes if size),
        ends=tuple(end for end, size in zip(ends, sizes, strict=False) if size),
    )


def emissions_of(
    streamed: Streamed, received: Sequence[tuple[float, int]], *, length: int
) -> tuple[Emission, ...]:
    """When the tokens of a stream were here, as far as the answer goes.

    Args:
        streamed: The stream.
        received: Moment, and bytes of the stream that were here by then.
        length: Tokens of the answer; a stop may have cut it.
    """
    found: list[Emission] = []
    for end, size in zip(streamed.ends, streamed.sizes, strict=True):
        if length > 0:
            moment, _ = received[bisect_left(received, end, key=itemgetter(1))]
            found.append(Emission(seconds=moment, tokens=min(size, length)))
        length -= size
    return tuple(found)


def steps_of(
    sizes: Sequence[int], told: VllmSpeculation | None, *, length: int
) -> tuple[Step, ...]:
    """The steps of an answer; empty where chunks and figures do not tell them for certain.

    Args:
        sizes: tokens of each chunk; the first is that of the prompt.
        told: figures of the request; None: the server gives none.
        length: tokens of the answer up to where a stop string is complete.
    """
    if told is None or not sizes or sizes[0] != 1:
        return ()
    drafted, accepted = told.per_step_drafted or (), told.per_step_accepted or ()
    if not len(drafted) == len(accepted) == told.num_spec_steps:
        return ()
    drafting = list(zip(drafted, accepted, strict=True))
    found = _no_room(sum(sizes[1:]), drafting) or _only_way(sizes[1:], drafting)
    if found is None:
        return ()
    return _cut((Step(drafted=0, accepted=0, emitted=1), *found), length=length)


def _no_room(tokens: int, drafting: Sequence[tuple[int, int]]) -> tuple[Step, ...] | None:
    """The steps where their tokens leave no room for one without drafts, whatever the chunks are.

    At most the accepted drafts of the last step are cut off. Where just these are missing, every
    token is one of a step that drafted. So chunks that have run together do no harm.
    """
    if not drafting or sum(accepted + 1 for _, accepted in drafting) - tokens != drafting[-1][1]:
        return None
    steps = [Step(drafted=drafted, accepted=got, emitted=got + 1) for drafted, got in drafting]
    return (*steps[:-1], msgspec.structs.replace(steps[-1], emitted=1))


def _only_way(sizes: Sequence[int], drafting: Sequence[tuple[int, int]]) -> tuple[Step, ...] | None:
    """Chunks as steps, if there is exactly one way to give each drafting step its chunk."""
    # ways[at][used]: in how many ways the chunks from `at` on take the steps from `used` on.
    chunks, steps = len(sizes), len(drafting)
    ways = [[0] * (steps + 1) for _ in range(chunks + 1)]
    ways[chunks][steps] = 1
    for at in reversed(range(chunks)):
        for used in range(steps + 1):
            plain = ways[at + 1][used] if sizes[at] == 1 else 0
            fits = used < steps and _fits(sizes[at], drafting[used], last=at == chunks - 1)
            ways[at][used] = min(2, plain + (ways[at + 1][used + 1] if fits else 0))
    if ways[0][0] != 1:
        return None
    found, used = [], 0
    for at, size in enumerate(sizes):
        fits = used < steps and _fits(size, drafting[used], last=at == chunks - 1)
        if fits and ways[at + 1][used + 1]:
            drafted, accepted = drafting[used]
            found.append(Step(drafted=drafted, accepted=accepted, emitted=size))
            used += 1
        else:
            found.append(Step(drafted=0, accepted=0, emitted=1))
    return tuple(found)


def _fits(size: int, step: tuple[int, int], *, last: bool) -> bool:
    """Whether a step gives a chunk of this size; a stop may have cut the last one."""
    return size <= step[1] + 1 if last else size == step[1] + 1


def _cut(steps: Sequence[Step], *, length: int) -> tuple[Step, ...]:
    """The steps of the first tokens; the last may be cut."""
    kept: list[Step] = []
    for step in steps:
        if length > 0:
            kept.append(msgspec.structs.replace(step, emitted=min(step.emitted, length)))
        length -= step.emitted
    return tuple(kept)


def _chunk(event: bytes, *, place: str) -> Chunk:
    try:
        found = decoded(lambda data: msgspec.json.decode(data, type=Chunk), event)
    except msgspec.DecodeError as error:
        raise EngineError(f"{place}: {explain(error, {'': Chunk})}") from error
    if found.error is not None:
        raise EngineError(f"{place}: its stream ended with an error")
    return found
