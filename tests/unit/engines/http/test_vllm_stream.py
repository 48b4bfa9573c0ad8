"""vLLM's streams: recorded ones, steps that they tell, and steps that they leave open."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import msgspec
import pytest

from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import Request, Step
from equivcheck.core.serving import Emission
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.vllm_stream import assembled, emissions_of, steps_of
from equivcheck.engines.http.vllm_words import VllmSpeculation
from equivcheck.engines.http.wire import BrokeError

from .stub import FakeVllm, Reply, exchange, serving

EngineAt = Callable[..., HttpEngine]


def stream(name: str) -> bytes:
    events = exchange(f"vllm-stream-{name}")["stream"]
    return "".join(f"data: {event}\n\n" for event in events).encode()


def speculation(*steps: tuple[int, int]) -> VllmSpeculation:
    """Drafted and accepted of each step."""
    return VllmSpeculation(
        num_spec_steps=len(steps),
        num_draft_tokens=sum(drafted for drafted, _ in steps),
        num_accepted_draft_tokens=sum(accepted for _, accepted in steps),
        num_spec_tokens=4,
        per_step_drafted=tuple(drafted for drafted, _ in steps),
        per_step_accepted=tuple(accepted for _, accepted in steps),
    )


def test_a_recorded_stream_tells_its_steps() -> None:
    found = assembled(stream("accepted"), place="here")
    [choice] = found.answer.choices
    assert choice.token_ids is not None
    assert choice.token_ids[:6] == (225, 21, 16, 225, 21, 16)
    assert (len(choice.token_ids), choice.finish_reason) == (20, "length")
    assert choice.prompt_token_ids is not None
    assert len(choice.prompt_token_ids) == 44
    assert found.answer.system_fingerprint == "vllm-0.32.0-ac2bdd67"
    assert found.sizes == (1, 1, 3, 3, 3, 3, 3, 3)
    assert found.answer.metrics is not None
    steps = steps_of(found.sizes, found.answer.metrics.speculative_decoding, length=20)
    plain = Step(drafted=0, accepted=0, emitted=1)
    assert steps[:4] == (
        plain,
        Step(drafted=4, accepted=0, emitted=1),
        Step(drafted=4, accepted=2, emitted=3),
        Step(drafted=3, accepted=2, emitted=3),
    )
    assert sum(step.emitted for step in steps) == 20


def test_rejections_among_plain_steps_leave_steps_open() -> None:
    """A recorded one: 24 chunks of a token, nine of them of steps that drafted in vain."""
    found = assembled(stream("ngram"), place="here")
    assert found.answer.metrics is not None
    told = found.answer.metrics.speculative_decoding
    assert found.sizes == (1,) * 24
    assert told is not None
    assert told.counts.steps == 9
    assert steps_of(found.sizes, told, length=24) == ()


def test_a_step_between_others_is_placed_where_there_is_one_place() -> None:
    steps = steps_of((1, 2, 1, 3), speculation((4, 1), (4, 0), (4, 2)), length=7)
    assert [(step.drafted, step.accepted, step.emitted) for step in steps] == [
        (0, 0, 1),
        (4, 1, 2),
        (4, 0, 1),
        (4, 2, 3),
    ]
    assert [step.drafted for step in steps_of((1, 2, 1, 3), speculation((4, 1), (4, 2)), length=7)]
    assert steps_of((1, 1, 1, 3), speculation((4, 0), (4, 2)), length=6) == ()


def test_chunks_that_ran_together_do_no_harm_where_every_step_drafted() -> None:
    """As vLLM 0.32 with a draft model streamed to a busy machine."""
    accepted = (0, 0, 3, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0, 4, 0, 1, 0, 4, 0, 1, 2, 3, 1)
    sizes = (1, 1, 1, 4, 1, 1, 2, 1, 1, 1, 2, 5, 1, 1, 8, 1, 5, 1, 2, 3, 4, 1)
    told = speculation(*((4, each) for each in accepted))
    steps = steps_of(sizes, told, length=48)
    assert tuple(step.accepted for step in steps[1:]) == accepted
    assert steps[-1].emitted == 1
    assert sum(step.emitted for step in steps) == 48


def test_only_the_last_step_may_be_cut() -> None:
    assert steps_of((1, 2), speculation((4, 4)), length=3)[-1].emitted == 2
    assert steps_of((1, 2, 1), speculation((4, 4)), length=4) == ()
    # A stop string that was complete in the middle of a block.
    assert steps_of((1, 5), speculation((4, 4)), length=3)[-1].emitted == 2


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((1, 1, 2), speculation((4, 0))),
        ((1, 4), speculation((4, 1), (4, 1))),
        ((2, 1), speculation((4, 0))),
        ((1, 1), None),
    ],
    ids=["one-step-too-few", "chunks-run-together", "no-chunk-of-the-prompt", "no-figures"],
)
def test_what_does_not_add_up_tells_nothing(
    sizes: tuple[int, ...], told: VllmSpeculation | None
) -> None:
    assert steps_of(sizes, told, length=sum(sizes)) == ()


def test_figures_of_fewer_steps_than_counted_tell_nothing() -> None:
    told = msgspec.structs.replace(speculation((4, 1)), num_spec_steps=2)
    assert steps_of((1, 2), told, length=3) == ()


def test_without_a_step_that_drafted_all_steps_are_plain() -> None:
    """As recorded: the figures of steps are null then."""
    nothing = {"num_spec_steps": 0, "num_draft_tokens": 0, "num_accepted_draft_tokens": 0}
    told = msgspec.convert(
        nothing | {"num_spec_tokens": 4, "per_step_accepted": None, "per_step_drafted": None},
        VllmSpeculation,
    )
    assert steps_of((1, 1), told, length=2) == (Step(drafted=0, accepted=0, emitted=1),) * 2


def test_a_stream_without_an_end_is_no_answer() -> None:
    with pytest.raises(BrokeError, match="broke off its stream"):
        assembled(stream("accepted").removesuffix(b"data: [DONE]\n\n"), place="here")


@pytest.mark.parametrize(
    ("events", "match"),
    [
        ('data: {"error": {"message": "gone"}}', "ended with an error"),
        ("data: {]", "here"),
        ('data: {"choices": []}', "without an answer"),
    ],
)
def test_a_stream_of_something_else_is_refused(events: str, match: str) -> None:
    with pytest.raises(EngineError, match=match):
        assembled(f"{events}\n\ndata: [DONE]\n\n".encode(), place="here")


class StreamingVllm(FakeVllm):
    """Streams the answers that its class gives as a whole: the first token, then pairs of two."""

    def complete(self, body: Any) -> Reply:
        whole = super().complete(body)
        if not body.get("stream"):
            return whole
        choice = whole.body["choices"][0]
        ids = choice["token_ids"]
        parts = [ids[:1], *(ids[at : at + 2] for at in range(1, len(ids), 2))]
        told = msgspec.to_builtins(speculation(*[(4, 1)] * (len(parts) - 1)))
        events = [{"choices": [choice | {"token_ids": part}]} for part in parts]
        events.append(whole.body | {"choices": [], "metrics": {"speculative_decoding": told}})
        lines = [f"data: {msgspec.json.encode(event).decode()}\n\n" for event in events]
        self.drafted += 100
        self.accepted += 100
        return Reply(parts=(*lines, "data: [DONE]\n\n"))


def test_an_engine_that_streams_reports_steps(engine_at: EngineAt) -> None:
    request = Request(key="a", prompt_ids=(5, 6, 7), max_new_tokens=7)
    with serving(StreamingVllm()) as stub:
        [answer] = engine_at(stub.url, stream=True).generate([request])
        [as_whole] = engine_at(stub.url).generate([request])
    assert answer.token_ids == as_whole.token_ids
    assert [step.emitted for step in answer.steps] == [1, 2, 2, 2]
    assert answer.counts is not None
    assert as_whole.steps == ()
    told = [body.get("stream_options") for body in stub.asked("/v1/completions")]
    assert {"include_usage": True} in told


def test_tokens_have_come_when_their_whole_chunk_is_here() -> None:
    events = [
        f'data: {{"choices": [{{"token_ids": {ids}}}]}}\n\n' for ids in ([5], [], [6, 7], [8])
    ]
    parts = [each.encode() for each in (*events, "data: [DONE]\n\n")]
    ends = list(accumulate(map(len, parts)))
    found = assembled(b"".join(parts), place="here")
    # Two chunks at once, the third in two halves.
    received = [(1.0, ends[0] - 2), (2.0, ends[1]), (3.0, ends[2] - 9), (4.0, ends[4])]
    assert emissions_of(found, received, length=4) == (
        Emission(seconds=2.0, tokens=1),
        Emission(seconds=4.0, tokens=2),
        Emission(seconds=4.0, tokens=1),
    )
    # What a stop has cut off has not come.
    assert [each.tokens for each in emissions_of(found, received, length=2)] == [1, 1]


def test_an_answer_says_when_its_tokens_came(engine_at: EngineAt) -> None:
    request = Request(key="a", prompt_ids=(5, 6, 7), max_new_tokens=7)
    with serving(StreamingVllm()) as stub:
        engine = engine_at(stub.url)
        before = time.perf_counter()
        found = engine.ask_timed(request)
        after = time.perf_counter()
        # Behind the answer it is asked which model it has.
        assert [path for path, _ in stub.seen[-2:]] == ["/v1/completions", "/v1/models"]
        assert stub.asked("/v1/completions")[-1]["stream"] is True
        [as_whole] = engine.generate([request])
    assert found.generation.token_ids == as_whole.token_ids
    assert [each.tokens for each in found.emissions] == [1, 2, 2, 2]
    moments = [before, *(each.seconds for each in found.emissions), found.finished, after]
    assert moments == sorted(moments)


def test_a_dialect_that_does_not_stream_says_when_it_ended(engine_at: EngineAt) -> None:
    request = Request(key="a", prompt_ids=(5, 6, 7), max_new_tokens=7)
    with serving(StreamingVllm()) as stub:
        found = engine_at(stub.url, dialect="openai").ask_timed(request)
    assert len(found.generation.token_ids) == 7
    assert found.emissions == ()
    assert found.finished > 0


def test_a_request_that_does_not_fit_is_not_put(engine_at: EngineAt) -> None:
    request = Request(key="a", prompt_ids=(60_000,), max_new_tokens=7)
    with serving(StreamingVllm()) as stub:
        engine = engine_at(stub.url)
        before = len(stub.seen)
        with pytest.raises(EngineError, match="http: cannot serve a: vllm: "):
            engine.ask_timed(request)
        assert len(stub.seen) == before


def test_other_dialects_do_not_stream(engine_at: EngineAt) -> None:
    with serving(FakeVllm()) as stub, pytest.raises(SettingsError, match="vLLM's dialect alone"):
        engine_at(stub.url, stream=True, dialect="openai")
