"""SGLang and llama.cpp as scorers: stubs that answer as they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.scorer import HttpScorer, open_scorer

from .stub import Reply, exchange, serving
from .test_by_documentation import FakeCompletions, FakeSglang

EngineAt = Callable[..., HttpEngine]
MOST = 4


def best_of(prefix: list[int]) -> dict[int, float]:
    """The ids behind the last one, each half as likely as the one before."""
    return {(prefix[-1] + step) % 50: -step * math.log(2.0) for step in range(1, MOST + 1)}


class ScoringSglang(FakeSglang):
    """Always a null first, as its source has it."""

    missing = 0
    last = 49

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path != "/generate" or not body.get("return_logprob"):
            return super().__call__(path, body)
        ids, start = body["input_ids"], body["logprob_start_len"]
        own: list[Any] = [[None, ids[start], None]]
        top: list[Any] = [None]
        for place in range(start + 1, len(ids)):
            best = best_of(ids[:place])
            named = 0 if ids[place] == self.last else ids[place]
            own.append([best.get(ids[place], -9.0), named, None])
            top.append([[value, token, None] for token, value in best.items()])
        meta = {
            "prompt_tokens": len(ids),
            "input_token_logprobs": own[self.missing :],
            "input_top_logprobs": top[self.missing :],
        }
        return Reply({"meta_info": meta})


class ScoringLlamacpp:
    """llama.cpp's pages, as far as scores go; other requests are answered by recorded ones."""

    model = "m"
    told = MOST

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/props":
            return Reply(exchange("llamacpp-props")["response"])
        if path != "/completion":
            return None
        best = best_of(body["prompt"])
        bias = [token for token, value in body["logit_bias"] if value is not False]
        settings = {
            "samplers": body["samplers"],
            **{
                name: body[name]
                for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
            },
        }
        top = [{"id": token, "logprob": value} for token, value in best.items()]
        return Reply(
            {
                "tokens": bias or [7],
                "stop_type": "eos" if bias else "limit",
                "tokens_evaluated": len(body["prompt"]),
                "generation_settings": settings,
                "model": self.model,
                "completion_probabilities": [{"top_logprobs": top[: self.told]}],
            }
        )


def scorer_at(engine_at: EngineAt, url: str, **options: Any) -> HttpScorer:
    return open_scorer(engine_at(url, dtype="float32", logprobs=MOST, **options))


def test_sglang_scores(engine_at: EngineAt) -> None:
    with serving(ScoringSglang()) as stub:
        [rows] = scorer_at(engine_at, stub.url).score([((3, 4, 5), (6, 20, 49))])
        sent = stub.asked("/generate")[-1]
    assert not isinstance(rows, EngineError)
    assert rows.ids.tolist() == [[6, 7, 8, 9], [7, 8, 9, 10], [21, 22, 23, 24]]
    assert rows.own.tolist() == pytest.approx([-math.log(2.0), -9.0, -9.0])
    assert (sent["logprob_start_len"], sent["top_logprobs_num"]) == (2, MOST)
    assert sent["sampling_params"]["max_new_tokens"] == 1


def test_a_place_that_sglang_leaves_out_is_seen(engine_at: EngineAt) -> None:
    fake = ScoringSglang()
    fake.missing = 1
    with serving(fake) as stub, pytest.raises(EngineError, match="read another prompt"):
        scorer_at(engine_at, stub.url)


def test_llamacpp_scores_place_by_place(engine_at: EngineAt) -> None:
    with serving(ScoringLlamacpp()) as stub:
        [rows] = scorer_at(engine_at, stub.url).score([((3, 4), (5, 20))])
        sent = stub.asked("/completion")[-2:]
    assert not isinstance(rows, EngineError)
    assert rows.ids.tolist() == [[5, 6, 7, 8], [6, 7, 8, 9]]
    # A token beyond the best lies no higher than the least of them.
    assert rows.own.tolist() == pytest.approx([-math.log(2.0), -4 * math.log(2.0)])
    assert [body["prompt"] for body in sent] == [[3, 4], [3, 4, 5]]
    assert {(body["n_probs"], body["cache_prompt"], body["n_predict"]) for body in sent} == {
        (MOST, True, 1)
    }


def test_fewer_than_asked_for_are_no_row(engine_at: EngineAt) -> None:
    """As llama.cpp gives none of tokens that were verified."""
    fake = ScoringLlamacpp()
    fake.told = 3
    with serving(fake) as stub, pytest.raises(EngineError, match="3 of 4 log-probabilities"):
        scorer_at(engine_at, stub.url)


def test_another_model_ends_it(engine_at: EngineAt) -> None:
    fake = ScoringLlamacpp()
    with serving(fake) as stub:
        scorer = scorer_at(engine_at, stub.url)
        fake.model = "other"
        with pytest.raises(EngineGoneError, match="other scored, not m"):
            list(scorer.score([((3, 4), (5,))]))


def test_other_dialects_score_nothing(engine_at: EngineAt) -> None:
    with serving(FakeCompletions()) as stub, pytest.raises(SettingsError, match="cannot score"):
        scorer_at(engine_at, stub.url, dialect="openai", model="m")
