"""What events are read off: requests, answers and draws of the candidate, and who shared a batch.

Pure. Events of a part of a run are those of the keys that are named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from equivcheck.core.generation import Generation, Request
from equivcheck.records.asking_order import in_turns
from equivcheck.records.divergence import join
from equivcheck.records.records import (
    CANDIDATE,
    REPEAT,
    SAMPLED,
    SHUFFLED,
    Evidence,
    GenerationRecord,
)
from equivcheck.records.sample_keys import parse_draw
from equivcheck.records.score_table import Support
from equivcheck.records.shards import groups_of

EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance of 1 and the next number, by compute dtype."""


class AnsweredRequest(NamedTuple):
    """What was asked, and what came."""

    request: Request
    generation: Generation
    stop: StopPlace | None = None
    """Where a stop string ended it; None: none did, or that is not known."""


class StopPlace(NamedTuple):
    """Where the stop string that ended an output lies in its text."""

    inside: bool
    """Whether its last token carries more text behind it."""
    across: bool | None
    """Whether it began in an earlier token; None: the records do not say."""


class Seen(NamedTuple):
    """What a run, or a part of it, put the candidate through."""

    answers: Sequence[AnsweredRequest]
    """In the order of the suites."""
    draws: Sequence[AnsweredRequest] = ()
    batches: Sequence[Sequence[AnsweredRequest]] = ()
    """Answers that were asked for together, at most as many as the engine has rows."""
    gamma: int = 0
    """Most draft tokens of a step."""
    ends_with_eos: bool = True
    """Whether the output holds the end-of-text id."""
    shuffled: int = 0
    """Requests put to the engine in one go in the arm `shuffled`."""
    rows: int = 1
    """Rows of the candidate's batch."""
    parted: int = 0
    """Requests on which the candidate's tokens are not the target's."""
    context: int = 0
    """Most positions of a request."""
    near_ulps: float = 8.0
    """Ulps of the compute dtype up to which two logits tie nearly."""
    epsilon: float = EPSILON["float32"]
    later_turns: int = 0
    """Turns of sessions whose prompt holds the engine's own answers."""
    windows: Mapping[str, int] = {}
    """Tokens that a model's sliding window spans, by its role."""
    border: int = 0
    """Tokens of scored draws that only a slightly wider cut contains."""

    @property
    def every(self) -> Iterator[AnsweredRequest]:
        """Answers, then draws."""
        yield from self.answers
        yield from self.draws

    @property
    def tells_steps(self) -> bool:
        """Whether verify steps were reported."""
        return any(answer.generation.steps for answer in self.every)

    @property
    def tells_drafts(self) -> bool:
        """Whether steps were reported, or counts of drafts."""
        return any(answer.generation.totals is not None for answer in self.every)


def look(evidence: Evidence, *, keys: Collection[str] | None = None) -> Seen:
    """What was asked of and answered by the candidate, and drawn by its engine.

    Args:
        evidence: The run.
        keys: Cases to look at; None: all.
    """
    captured = evidence.captured.get(CANDIDATE, {})
    told = evidence.header.arms.get(CANDIDATE)
    setup = evidence.header.settings.setup
    answers = {
        key: AnsweredRequest(
            asked.request, captured[key].generation, stop_place(captured[key], asked.request)
        )
        for key, asked in evidence.asked.items()
        if key in captured and (keys is None or key in keys)
    }
    rows = min(told.batch_size, setup.batch_size) if told else 1
    return Seen(
        answers=list(answers.values()),
        draws=[
            AnsweredRequest(evidence.asked[case].request, draw)
            for key, draw in evidence.draws.get(SAMPLED, {}).items()
            if (case := parse_draw(key).case) and (keys is None or case in keys)
        ],
        batches=[
            [answers[key] for key in batch if key in answers]
            for chunk in chunks(evidence)
            for batch in cut(chunk, size=rows)
        ],
        gamma=told.num_speculative_tokens if told else 0,
        ends_with_eos=told.ends_with_eos if told else True,
        shuffled=max(
            map(len, groups_of(evidence.header, list(evidence.captured.get(SHUFFLED, {})))),
            default=0,
        ),
        rows=rows,
        parted=sum(pair.token_differs for pair in join(evidence, arm=CANDIDATE)),
        context=setup.context,
        later_turns=sum(bool(evidence.asked[key].before) for key in answers),
        windows=evidence.header.windows,
        near_ulps=evidence.header.settings.near_tie_ulps,
        epsilon=EPSILON[setup.dtype],
        border=int((evidence.scores.support == Support.BORDER).sum()) if evidence.scores else 0,
    )


def chunks(evidence: Evidence) -> Iterator[Sequence[str]]:
    """Keys of the cases that were put to the candidate together, as `capture/plan.py` orders them.

    Cases that are asked again come first and share chunks with each other only.
    """
    planned, size = evidence.header.planned, evidence.header.settings.setup.batch_size
    again = set(planned.get(REPEAT, ()))
    for group in groups_of(evidence.header, list(evidence.asked)):
        for part in (True, False):
            keys = [key for key in group if (key in again) is part]
            yield from in_turns(keys, size=size, wave=lambda key: evidence.asked[key].wave)


def cut(keys: Sequence[str], *, size: int) -> Iterator[Sequence[str]]:
    """Pieces of at most so many."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def stop_place(captured: GenerationRecord, request: Request) -> StopPlace | None:
    """Where the stop string lies that is complete at the last token; None: there is none.

    The text is the whole output's, so what stands behind the string came with the last token.
    """
    completed = captured.stop_completed_at
    if completed is None or completed != len(captured.generation.token_ids) - 1:
        return None
    ends = [at + len(stop) for stop in request.stop if (at := captured.text.find(stop)) >= 0]
    if not ends:
        return None
    began = captured.stop_began_at
    return StopPlace(
        inside=min(ends) < len(captured.text),
        across=None if began is None else began < completed,
    )
