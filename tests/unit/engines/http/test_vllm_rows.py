"""vLLM as a scorer: what recorded rows are read as, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.rows import token_rows
from equivcheck.engines.http.scorer import HttpScorer, open_scorer
from equivcheck.engines.registry import load_engine

from .stub import FakeVllm, Reply, Stub, exchange, serving

EngineAt = Callable[..., HttpEngine]
VOCAB, MOST = 50_000, 20


class ScoringVllm(FakeVllm):
    """Gives a flat row of the first ids, and the asked token's beside it; or what a test says."""

    most = MOST
    turned = 0
    shift = 0.0

    def complete(self, body: Any) -> Reply:
        if (wanted := body.get("prompt_logprobs")) is None:
            return super().complete(body | {"stop_token_ids": body.get("stop_token_ids", [])})
        if wanted > self.most:
            told = f"Requested prompt logprobs of {wanted}, which is greater than max allowed: "
            return Reply({"error": {"message": f"{told}{self.most} (parameter=x)"}}, 400)
        prompt = [token + self.turned for token in body["prompt"]]
        rows: list[Any] = [None]
        for token in prompt[1:]:
            best = {place: math.log(0.9 / wanted) + self.shift for place in range(wanted)}
            best.setdefault(token, -11.0)
            rows.append({str(place): {"logprob": each} for place, each in best.items()})
        choice = {"prompt_logprobs": rows, "prompt_token_ids": prompt}
        return Reply({"choices": [choice], "system_fingerprint": self.fingerprint})


@pytest.fixture
def vllm() -> ScoringVllm:
    return ScoringVllm()


@pytest.fixture
def stub(vllm: ScoringVllm) -> Iterator[Stub]:
    with serving(vllm) as found:
        yield found


def scorer_at(engine_at: EngineAt, stub: Stub, **options: Any) -> HttpScorer:
    return open_scorer(engine_at(stub.url, dtype="float32", **options))


def test_recorded_rows() -> None:
    """Real ones: the given token beside the best three, or one of them."""
    choice = exchange("vllm-prompt-logprobs")["response"]["choices"][0]
    places = [
        {int(token): entry["logprob"] for token, entry in place.items()}
        for place in choice["prompt_logprobs"][1:]
    ]
    tokens = choice["prompt_token_ids"][1:]
    rows = token_rows(places, tokens, vocab=3072, most=3)
    assert rows.ids.shape == rows.values.shape == (7, 3)
    assert (np.diff(rows.values, axis=1) <= 0).all()
    assert rows.own[0] == pytest.approx(-8.7957, abs=1e-4)
    assert rows.values[0, 0] == pytest.approx(-2.1590, abs=1e-4)
    assert 12 not in rows.ids[0]
    assert not rows.whole
    assert not rows.logits


def test_as_many_are_asked_for_as_it_gives(engine_at: EngineAt, stub: Stub) -> None:
    scorer = scorer_at(engine_at, stub)
    assert scorer.by.most == MOST
    assert f"the best {MOST} log-probabilities" in scorer.name
    [rows] = scorer.score([((1, 2, 3), (4, 30_000))])
    assert not isinstance(rows, EngineError)
    assert rows.own.tolist() == pytest.approx([math.log(0.9 / MOST), -11.0])
    asked = stub.asked("/v1/completions")[-1]
    assert asked["prompt"] == [1, 2, 3, 4, 30_000]
    assert (asked["prompt_logprobs"], asked["max_tokens"], asked["temperature"]) == (MOST, 1, 0.0)


def test_fewer_are_asked_for_where_that_is_said(engine_at: EngineAt, stub: Stub) -> None:
    assert scorer_at(engine_at, stub, logprobs=5).by.most == 5


def test_a_token_put_before_the_prompt_is_seen(
    engine_at: EngineAt, stub: Stub, vllm: ScoringVllm
) -> None:
    vllm.turned = 1
    with pytest.raises(EngineError, match="read another prompt than the one to score"):
        scorer_at(engine_at, stub)


def test_another_server_behind_the_url_ends_it(
    engine_at: EngineAt, stub: Stub, vllm: ScoringVllm
) -> None:
    scorer = scorer_at(engine_at, stub)
    vllm.fingerprint = "vllm-0.32.0-other"
    with pytest.raises(EngineGoneError, match="another server scored"):
        list(scorer.score([((1,), (2,))]))


def test_parts_of_rows_of_logits_are_refused(
    engine_at: EngineAt, stub: Stub, vllm: ScoringVllm
) -> None:
    vllm.shift = 9.0
    with pytest.raises(EngineError, match="scores are logits and not whole rows"):
        scorer_at(engine_at, stub)


def test_one_output_that_is_refused_keeps_no_other_away(
    engine_at: EngineAt, stub: Stub, vllm: ScoringVllm
) -> None:
    scorer = scorer_at(engine_at, stub)
    alive = stub.handle

    def refuses(path: str, body: Any) -> Reply | None:
        long = body is not None and len(body["prompt"]) > 3
        return Reply({"error": "too long"}, 400) if long else alive(path, body)

    stub.handle = refuses
    first, second = scorer.score([((1,), (2, 3, 4)), ((1,), (2,))])
    assert isinstance(first, EngineError)
    assert not isinstance(second, EngineError)


def test_a_server_that_breaks_ends_it(engine_at: EngineAt, stub: Stub) -> None:
    scorer = scorer_at(engine_at, stub)
    stub.handle = lambda _path, _body: Reply("", 500)
    with pytest.raises(EngineGoneError, match="status 500"):
        list(scorer.score([((1,), (2,))]))


def test_without_a_dtype_nothing_is_scored(engine_at: EngineAt, stub: Stub) -> None:
    with pytest.raises(SettingsError, match="say the dtype it computes in"):
        open_scorer(engine_at(stub.url))


def test_only_a_server_scores(setup: EngineSetup) -> None:
    engine = load_engine("native:gamma=0", setup)
    with pytest.raises(SettingsError, match="is no server by URL"):
        open_scorer(engine)
    engine.close()


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ({1: -1.0, 2: -2.0}, "lack the token 7"),
        ({7: -1.0}, "1 of 2 log-probabilities"),
        ({7: -1.0, 10: -2.0}, "outside the vocabulary of 10"),
        ({7: math.nan, 2: -2.0}, "numbers that are none"),
        ({7: 3.0, 2: -2.0}, "logits and not whole rows"),
    ],
)
def test_what_is_no_row_is_refused(place: dict[int, float], match: str) -> None:
    with pytest.raises(EngineError, match=match):
        token_rows([place], [7], vocab=10, most=2)


def test_whole_rows_of_logits_are_told_from_log_probabilities() -> None:
    flat = dict.fromkeys(range(4), -math.log(4.0))
    assert not token_rows([flat], [1], vocab=4, most=4).logits
    assert token_rows([{**flat, 2: 3.0}], [1], vocab=4, most=9).logits


def test_what_is_clamped_is_ruled_out() -> None:
    rows = token_rows([{0: 0.0, 1: -9999.0}], [0], vocab=2, most=2)
    assert rows.values.tolist() == [[0.0, -math.inf]]
    assert not rows.logits
