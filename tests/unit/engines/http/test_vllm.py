"""vLLM's words: what is sent, and what recorded answers of vLLM 0.32 are read as."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.core.generation import DraftCounts, Request
from equivcheck.core.refusals import lacking
from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.vllm import VllmDialect
from equivcheck.engines.http.vllm_words import VllmAnswer
from equivcheck.engines.http.wire import Wire
from equivcheck.engines.vllm_answer import NOT_TOGETHER

from .stub import EOS, FakeVllm, Reply, exchange, serving

WireTo = Callable[..., Wire]
FINGERPRINT = "vllm-0.32.0-ac2bdd67"


@pytest.fixture
def dialect(wire_to: WireTo, words: PairWords) -> VllmDialect:
    made = VllmDialect(wire_to("http://127.0.0.1:9"), words, ServerOptions(None, None, None))
    made.model, made.gamma, made.fingerprint = "m", 4, FINGERPRINT
    return made


def recorded(name: str, **more: object) -> tuple[Request, VllmAnswer]:
    found = exchange(f"vllm-{name}")
    body = found["request"]
    request = Request(
        key="code/a", prompt_ids=tuple(body["prompt"]), max_new_tokens=body["max_tokens"]
    )
    answer = msgspec.convert(found["response"], VllmAnswer)
    return msgspec.structs.replace(request, **more), answer


def test_a_greedy_answer_and_its_drafts(dialect: VllmDialect) -> None:
    request, answer = recorded("greedy-accepted")
    read = dialect.generation(request, answer, seconds=0.5)
    assert read.token_ids[:4] == (225, 21, 16, 225)
    assert (len(read.token_ids), read.finish_reason, read.prompt_tokens) == (20, "length", 44)
    assert read.counts == DraftCounts(
        drafted=27, accepted=12, steps=7, accepted_by_slot=(6, 6, 0, 0)
    )


def test_a_stop_id_is_part_of_the_answer(dialect: VllmDialect) -> None:
    request, answer = recorded("stop", stop_token_ids=(931,))
    read = dialect.generation(request, answer, seconds=0.5)
    assert (read.token_ids, read.finish_reason) == ((11, 13, 931), "stop")


def test_an_end_of_text_is_told_from_a_stop(dialect: VllmDialect) -> None:
    dialect.pair = dialect.pair._replace(eos_token_ids=(931,))
    request, answer = recorded("stop")
    assert dialect.generation(request, answer, seconds=0.5).finish_reason == "eos"


def test_an_end_that_nobody_asked_for_is_no_answer(dialect: VllmDialect) -> None:
    request, answer = recorded("stop")
    with pytest.raises(EngineError, match="ended at token 931, which ends no text of the pair"):
        dialect.generation(request, answer, seconds=0.5)


def stopped_by(string: str, *, length: int) -> tuple[Request, VllmAnswer]:
    request, answer = recorded("stop", stop=(string,))
    choice = msgspec.structs.replace(
        answer.choices[0],
        token_ids=(*range(3), *range(3, 3 + length)),
        finish_reason="stop",
        stop_reason=string,
    )
    return request, msgspec.structs.replace(answer, choices=(choice,))


def test_what_a_block_holds_beyond_a_stop_string_is_cut(dialect: VllmDialect) -> None:
    request, answer = stopped_by("bc", length=4)
    read = dialect.generation(request, answer, seconds=0.5)
    assert (read.token_ids, read.finish_reason) == ((0, 1, 2), "stop")


def test_more_than_a_block_is_left_for_the_checks(dialect: VllmDialect) -> None:
    request, answer = stopped_by("bc", length=5)
    assert len(dialect.generation(request, answer, seconds=0.5).token_ids) == 8


def test_an_answer_to_another_prompt_is_refused(dialect: VllmDialect) -> None:
    request, answer = recorded("greedy-accepted", prompt_ids=(1, 2, 3))
    with pytest.raises(EngineError, match="code/a is one to another prompt"):
        dialect.generation(request, answer, seconds=0.5)


def test_another_fingerprint_ends_the_run(dialect: VllmDialect) -> None:
    request, answer = recorded("greedy-accepted")
    other = msgspec.structs.replace(answer, system_fingerprint="vllm-0.33.0-00000000")
    with pytest.raises(EngineGoneError, match=r"another server: its fingerprint is vllm-0\.33"):
        dialect.generation(request, other, seconds=0.5)


def test_every_field_is_said(dialect: VllmDialect) -> None:
    distribution = Sampling(
        temperature=0.7,
        top_k=5,
        top_p=0.9,
        presence_penalty=0.5,
        logit_bias={3: -1.5},
        banned_tokens=(0, 2),
        min_new_tokens=2,
    )
    request = Request(
        key="code/a",
        prompt_ids=(4, 5),
        max_new_tokens=6,
        sampling=distribution,
        stop_token_ids=(9,),
    )
    body = dialect.body(request)
    assert body["allowed_token_ids"][:3] == [1, 3, 4]
    assert len(body.pop("allowed_token_ids")) == dialect.pair.vocab_size - 2
    assert 0 <= body.pop("seed") < 2**31
    assert body == {
        "model": "m",
        "prompt": (4, 5),
        "max_tokens": 6,
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.0,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
        "logit_bias": {"3": -1.5},
        "min_tokens": 2,
        "stop": (),
        "stop_token_ids": [EOS, 9],
        "ignore_eos": True,
        "n": 1,
        "stream": False,
        "return_token_ids": True,
    }


def test_ends_of_text_that_are_ignored_are_no_stops(dialect: VllmDialect) -> None:
    request = Request(key="a", prompt_ids=(4,), max_new_tokens=6, ignore_eos=True)
    assert dialect.body(request)["stop_token_ids"] == []


@pytest.mark.parametrize(
    ("distribution", "more", "needs"),
    [
        (Sampling(temperature=0.001), {}, "temperature=0.001"),
        (Sampling(temperature=1.0, min_p=0.1, top_p=0.9), {}, "min_p+top_p"),
        (
            Sampling(repetition_penalty=1.1, logit_bias={1: 1.0}),
            {},
            "logit_bias+repetition_penalty",
        ),
        (Sampling(min_new_tokens=2), {"ignore_eos": True}, "min_new_tokens+ignore_eos"),
        (Sampling(min_new_tokens=2), {"stop": ("x",)}, "min_new_tokens+stop"),
    ],
)
def test_where_its_order_matters_it_is_not_asked(
    wire_to: WireTo, words: PairWords, distribution: Sampling, more: dict[str, object], needs: str
) -> None:
    request = Request(key="a", prompt_ids=(4,), max_new_tokens=6, sampling=distribution)
    with serving(FakeVllm()) as stub:
        told = VllmDialect(wire_to(stub.url), words, ServerOptions(None, None, None)).open()
    assert lacking(told, msgspec.structs.replace(request, **more)) == (needs,)


class Picky(FakeVllm):
    """Refuses what vLLM refuses where it speculates."""

    def complete(self, body: dict[str, object]) -> Reply:
        if body["min_p"] or body["logit_bias"]:
            return Reply(exchange("vllm-minp")["response"], 400)
        return super().complete(body)


def test_what_it_tells_as_it_is_opened(wire_to: WireTo, words: PairWords) -> None:
    with serving(Picky()) as stub:
        told = VllmDialect(wire_to(stub.url), words, ServerOptions(None, None, None)).open()
    assert told.versions == {"vllm": "0.32.0", "model": "m", "model.root": "model"}
    assert (told.gamma, told.counts, told.context) == (4, True, 1024)
    assert told.refuses == ("min_p", "logit_bias", *NOT_TOGETHER)


def test_a_version_that_refuses_nothing_is_asked_everything(
    wire_to: WireTo, words: PairWords
) -> None:
    with serving(FakeVllm()) as stub:
        told = VllmDialect(wire_to(stub.url), words, ServerOptions(None, None, None)).open()
    assert told.refuses == NOT_TOGETHER
