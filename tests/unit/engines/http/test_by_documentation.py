"""Dialects that were run against no real server: stubs that answer as their documentation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import DraftCounts, Request
from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.openai import OpenaiDialect
from equivcheck.engines.http.sglang import SglangDialect
from equivcheck.engines.http.tensorrt_llm import TensorrtLlmDialect
from equivcheck.engines.http.wire import Wire

from .stub import EOS, Reply, serving

WireTo = Callable[..., Wire]
NOTHING_SAID = ServerOptions(None, None, None)
DISTRIBUTION = Sampling(temperature=0.7, top_k=5, top_p=0.9, logit_bias={3: -1.5})
REQUEST = Request(
    key="code/a", prompt_ids=(4, 5), max_new_tokens=6, sampling=DISTRIBUTION, stop_token_ids=(9,)
)


class FakeSglang:
    """SGLang's pages."""

    info = {
        "model_path": "folder/model",
        "version": "0.5.23",
        "context_length": 2048,
        "speculative_algorithm": "EAGLE3",
        "speculative_num_draft_tokens": 4,
        "enable_deterministic_inference": True,
    }
    finish: dict[str, Any] = {"type": "stop", "matched": 9}
    output: list[int] | None = [7, 8, 9]
    prompt_tokens: int | None = None

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/get_server_info":
            return Reply(self.info)
        if path != "/generate":
            return None
        trial = len(body["input_ids"]) == 1
        meta = {
            "id": "x",
            "finish_reason": {"type": "length", "length": 1} if trial else self.finish,
            "prompt_tokens": self.prompt_tokens or len(body["input_ids"]),
            "spec_verify_ct": 2,
            "spec_draft_token_num": 6,
            "spec_accept_token_num": 1,
        }
        return Reply({"text": "", "output_ids": [7] if trial else self.output, "meta_info": meta})


def test_sglang(wire_to: WireTo, words: PairWords) -> None:
    with serving(FakeSglang()) as stub:
        dialect = SglangDialect(wire_to(stub.url), words, NOTHING_SAID)
        told = dialect.open()
        answer = dialect.answer(REQUEST)
        sent = stub.asked("/generate")[-1]
    assert (told.gamma, told.counts, told.sampled, told.context) == (4, True, True, 2048)
    assert "not run against one" in told.notes[0]
    assert (answer.token_ids, answer.finish_reason) == ((7, 8, 9), "stop")
    assert answer.counts == DraftCounts(drafted=6, accepted=1, steps=2)
    params = sent["sampling_params"]
    assert (params["top_k"], params["logit_bias"]) == (5, {"3": -1.5})
    assert params["stop_token_ids"] == [EOS, 9]
    assert params["ignore_eos"] is True


def test_sglang_without_seeds_is_not_sampled(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeSglang()
    fake.info = fake.info | {"enable_deterministic_inference": False}
    with serving(fake) as stub:
        assert not SglangDialect(wire_to(stub.url), words, NOTHING_SAID).open().sampled


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"finish": {"type": "abort"}}, "ended by abort"),
        ({"output": [7, 8]}, "ended at token 8, which ends no text"),
        ({"output": None}, "answers without output_ids"),
        ({"prompt_tokens": 3}, "has 2 tokens, and the server read 3"),
    ],
)
def test_what_sglang_may_not_answer(
    wire_to: WireTo, words: PairWords, more: dict[str, Any], told: str
) -> None:
    fake = FakeSglang()
    for name, value in more.items():
        setattr(fake, name, value)
    with serving(fake) as stub:
        dialect = SglangDialect(wire_to(stub.url), words, NOTHING_SAID)
        with pytest.raises(EngineError, match=told):
            dialect.answer(REQUEST)


class FakeCompletions:
    """Pages of a server of OpenAI's API that gives ids."""

    owner = "tensorrt_llm"
    ids: list[int] | None = [7, 8, 9]
    finish = "stop"

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/v1/models":
            return Reply({"data": [{"id": "m", "object": "model", "owned_by": self.owner}]})
        if path == "/version":
            return Reply({"version": "1.3.0"})
        if path != "/v1/completions":
            return None
        trial = len(body["prompt"]) == 1
        choice = {
            "index": 0,
            "text": "",
            "token_ids": [7] if trial and self.ids else self.ids,
            "finish_reason": "length" if trial else self.finish,
            "stop_reason": None if trial else 9,
        }
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 3}
        return Reply({"id": "x", "model": "m", "choices": [choice], "usage": usage})


def test_tensorrt_llm(wire_to: WireTo, words: PairWords) -> None:
    with serving(FakeCompletions()) as stub:
        dialect = TensorrtLlmDialect(wire_to(stub.url), words, ServerOptions(None, 3, None))
        told = dialect.open()
        answer = dialect.answer(REQUEST)
        sent = stub.asked("/v1/completions")[-1]
    assert (told.gamma, told.counts) == (3, False)
    assert told.versions["tensorrt-llm"] == "1.3.0"
    assert "stop" in told.refuses
    assert (answer.token_ids, answer.finish_reason, answer.counts) == ((7, 8, 9), "stop", None)
    assert (sent["detokenize"], sent["top_k"], sent["stop_token_ids"]) == (False, 5, [EOS, 9])


def test_any_server_with_ids(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeCompletions()
    fake.ids = [7, 8, EOS]
    with serving(fake) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        answer = dialect.answer(REQUEST)
        sent = stub.asked("/v1/completions")[-1]
    assert (answer.token_ids, answer.finish_reason) == ((7, 8, EOS), "eos")
    assert "top_k" not in sent
    assert "stop_token_ids" not in sent
    assert sent["return_token_ids"] is True


def test_text_alone_is_refused(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeCompletions()
    fake.ids = None
    with serving(fake) as stub, pytest.raises(EngineError, match="text and no token ids"):
        TensorrtLlmDialect(wire_to(stub.url), words, NOTHING_SAID).open()


def test_a_limit_of_the_servers_own_is_no_answer(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeCompletions()
    fake.finish = "length"
    with serving(fake) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        with pytest.raises(EngineError, match="ended at 3 of 6 tokens, at a limit of the server's"):
            dialect.answer(REQUEST)
