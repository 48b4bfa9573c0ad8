"""llama.cpp's words: what is sent, and what recorded answers are read as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.core.generation import DraftCounts, Generation, Request
from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.llamacpp import LlamacppDialect, packed, rule_of
from equivcheck.engines.http.wire import Wire

from .stub import EOS, Reply, exchange, serving

WireTo = Callable[..., Wire]


class FakeLlamacpp:
    """Gives a recorded answer, decoded with what was asked for."""

    def __init__(self, name: str = "llamacpp-eos") -> None:
        self.recorded = exchange(name)["response"]
        self.settings: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self.ends = True

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/props":
            return Reply(exchange("llamacpp-props")["response"])
        if path != "/completion":
            return None
        if body["prompt"] == [1]:
            return self.trial(body)
        return Reply(self.recorded | self.more | {"generation_settings": self.in_force(body)})

    def trial(self, body: Any) -> Reply:
        forced = [token for token, _ in body["logit_bias"]]
        more = {"tokens": [7], "tokens_evaluated": 1, "stop_type": "limit"}
        if forced and self.ends:
            more |= {"tokens": forced, "stop_type": "eos"}
        return Reply(self.recorded | more | {"generation_settings": self.in_force(body)})

    def in_force(self, body: Any) -> dict[str, Any]:
        asked = {name: body[name] for name in self.recorded["generation_settings"] if name in body}
        settings: dict[str, Any] = self.recorded["generation_settings"] | asked | self.settings
        return settings


def opened(wire: Wire, words: PairWords, *, gamma: int | None = 16) -> LlamacppDialect:
    dialect = LlamacppDialect(wire, words, ServerOptions(None, gamma, None))
    dialect.open()
    return dialect


def ask(fake: FakeLlamacpp, wire_to: WireTo, words: PairWords, **more: Any) -> Generation:
    found = exchange("llamacpp-eos")["request"]
    request = Request(key="code/a", prompt_ids=tuple(found["prompt"]), max_new_tokens=60, **more)
    with serving(fake) as stub:
        return opened(wire_to(stub.url), words).answer(request)


def test_an_end_of_text_is_part_of_the_answer(wire_to: WireTo, words: PairWords) -> None:
    read = ask(FakeLlamacpp(), wire_to, words)
    assert (read.token_ids[-1], read.finish_reason, len(read.token_ids)) == (EOS, "eos", 33)
    assert read.counts == DraftCounts(drafted=4, accepted=1)


def test_the_token_that_completes_a_stop_string_is_too(wire_to: WireTo, words: PairWords) -> None:
    read = ask(FakeLlamacpp("llamacpp-stop-word"), wire_to, words, stop=("!", " you"))
    assert (read.token_ids[-1], read.finish_reason) == (346, "stop")


def test_an_answer_without_drafts_counts_none(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeLlamacpp()
    fake.more = {"timings": {"prompt_n": 12}}
    assert ask(fake, wire_to, words).counts == DraftCounts(drafted=0, accepted=0)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"samplers": ["top_k", "temperature"]}, "order of samplers"),
        ({"top_k": 40}, "seed or top_k"),
        ({"seed": 4294967295}, "seed or top_k"),
        ({"min_p": 0.05}, "min_p"),
        ({"temperature": 0.8}, "temperature"),
    ],
)
def test_other_parameters_than_asked_for_are_no_answer(
    wire_to: WireTo, words: PairWords, settings: dict[str, Any], wrong: str
) -> None:
    fake = FakeLlamacpp()
    fake.settings = settings
    with pytest.raises(EngineError, match=f"code/a was decoded with another {wrong}"):
        ask(fake, wire_to, words)


def test_single_precision_is_no_other_parameter(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeLlamacpp()
    fake.settings = {"temperature": 0.699999988079071, "top_p": 0.949999988079071}
    ask(fake, wire_to, words, sampling=Sampling(temperature=0.7, top_p=0.95))


def test_a_prompt_of_another_length_is_refused(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeLlamacpp()
    fake.more = {"tokens_evaluated": 13}
    with pytest.raises(EngineError, match="has 12 tokens, and the server read 13"):
        ask(fake, wire_to, words)


def test_an_answer_of_another_model_ends_the_run(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeLlamacpp()
    fake.more = {"model": "other.gguf"}
    with pytest.raises(EngineGoneError, match=r"answered by other\.gguf"):
        ask(fake, wire_to, words)


def test_a_model_that_ends_texts_otherwise_is_refused(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeLlamacpp()
    fake.ends = False
    with pytest.raises(EngineError, match=r"token 2 \(c\) ends a text of the pair"):
        ask(fake, wire_to, words)


def test_an_error_is_shown_as_it_was_said(wire_to: WireTo, words: PairWords) -> None:
    class Refusing(FakeLlamacpp):
        def __call__(self, path: str, body: Any) -> Reply | None:
            if body and len(body["prompt"]) > 1:
                return Reply(exchange("llamacpp-toolong")["response"], 400)
            return super().__call__(path, body)

    with pytest.raises(EngineError, match=r"request \(1500 tokens\) exceeds the available context"):
        ask(Refusing(), wire_to, words)


def test_how_many_it_drafts_has_to_be_said(wire_to: WireTo, words: PairWords) -> None:
    with (
        serving(FakeLlamacpp()) as stub,
        pytest.raises(SettingsError, match=r"speculates \(ngram-simple\).*say gamma=N"),
    ):
        opened(wire_to(stub.url), words, gamma=None)


def test_a_plain_server_needs_no_word(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeLlamacpp()
    fake.settings = {"speculative.types": "none"}
    with serving(fake) as stub:
        dialect = LlamacppDialect(wire_to(stub.url), words, ServerOptions(None, None, None))
        told = dialect.open()
    assert (told.gamma, told.counts, told.rule, told.slots) == (0, False, "coupled", 4)
    assert told.context == 1024


@pytest.mark.parametrize(
    ("types", "rule"),
    [("none", "coupled"), ("ngram-simple", "coupled"), ("draft-simple", "rejection")],
)
def test_only_drafts_that_are_not_drawn_share_noise(types: str, rule: str) -> None:
    assert rule_of(types) == rule


def test_every_field_is_said_in_this_packages_order(wire_to: WireTo, words: PairWords) -> None:
    distribution = Sampling(temperature=0.7, top_k=5, banned_tokens=(8,), logit_bias={3: 1.5})
    request = Request(key="a", prompt_ids=(4, 5), max_new_tokens=6, sampling=distribution)
    dialect = LlamacppDialect(wire_to("http://127.0.0.1:9"), words, ServerOptions(None, None, None))
    body = dialect.body(request)
    assert body["samplers"] == ("penalties", "temperature", "top_k", "top_p", "min_p")
    assert body["logit_bias"] == [[3, 1.5], [8, False]]
    assert not body["cache_prompt"]
    assert body["repeat_last_n"] == 0


@pytest.mark.parametrize(
    ("ftype", "told"),
    [("all F32", None), ("F16", None), ("BF16", None), (None, None), ("Q4_1", "Q4_1")],
)
def test_packed_weights_are_no_dtype(ftype: str | None, told: str | None) -> None:
    assert packed(ftype) == told
