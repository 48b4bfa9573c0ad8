"""What the native decoder refuses: whatever a suite may not say, and what this model lacks."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from equivcheck.core.cases import FARTHEST, LEAST_TEMPERATURE, Sampling
from equivcheck.core.engine import Rule
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.engines.serving import refusal


def request(**fields: Any) -> Request:
    given: dict[str, Any] = {"key": "w/c", "prompt_ids": (1, 2), "max_new_tokens": 4}
    return Request(**(given | fields))


def refused(*, rule: Rule = "coupled", **fields: Any) -> str | None:
    return refusal(request(**fields), vocab=10, context=8, rule=rule)


def test_what_can_be_served_is_not_refused() -> None:
    farthest = Sampling(
        temperature=LEAST_TEMPERATURE,
        repetition_penalty=FARTHEST,
        presence_penalty=-FARTHEST,
        frequency_penalty=FARTHEST,
        logit_bias={9: -FARTHEST},
    )
    assert refused(sampling=farthest, stop_token_ids=(9,), max_new_tokens=6) is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt_ids": ()}, "its prompt is empty"),
        ({"max_new_tokens": 7}, "prompt and output need 9 positions, setup.context is 8"),
        ({"prompt_ids": (10,)}, "token id 10 is outside the vocabulary of 10"),
        ({"stop_token_ids": (3, 4000)}, "token id 4000 is outside the vocabulary of 10"),
        ({"sampling": Sampling(banned_tokens=(-1,))}, "token id -1 is outside"),
        ({"rule": "greedy", "sampling": Sampling(temperature=1.0)}, "temperature 1 with rule"),
    ],
)
def test_what_the_model_or_the_rule_lacks_is_named(fields: Any, problem: str) -> None:
    assert str(refused(**fields)).startswith(problem)


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(temperature=1e-38), "temperature 1e-38 is below 1e-05; write 0 for greedy"),
        (Sampling(temperature=math.inf), "sampling: temperature: "),
        (Sampling(temperature=math.nan), "sampling: temperature: "),
        (Sampling(repetition_penalty=1e-50), "sampling: repetition_penalty: "),
        (Sampling(presence_penalty=1e39), "sampling: presence_penalty: "),
        (Sampling(frequency_penalty=-1e39), "sampling: frequency_penalty: "),
        (Sampling(logit_bias={7: 1e39}), "sampling: logit_bias[...]: "),
        (Sampling(logit_bias={7: -math.inf}), "sampling: logit_bias[...]: "),
        (Sampling(top_k=2**70), "sampling: top_k: "),
    ],
)
def test_values_that_fp32_cannot_hold_are_named(sampling: Sampling, field: str) -> None:
    assert str(refused(sampling=sampling)).startswith(field)


def test_the_farthest_values_are_drawn_from_without_overflow(setup: EngineSetup) -> None:
    samplings = [
        Sampling(temperature=LEAST_TEMPERATURE),
        Sampling(temperature=LEAST_TEMPERATURE, logit_bias={7: FARTHEST}, top_k=3),
        Sampling(temperature=LEAST_TEMPERATURE, repetition_penalty=1 / FARTHEST, top_p=0.9),
        Sampling(temperature=LEAST_TEMPERATURE, frequency_penalty=FARTHEST, min_p=0.1),
    ]
    engine = load_engine("native:gamma=0", setup)
    answers = list(
        engine.generate(
            [
                request(key=f"w/{at}", sampling=sampling, max_new_tokens=9)
                for at, sampling in enumerate(samplings)
            ]
        )
    )
    assert len(answers) == len(samplings)
    assert all(math.isfinite(score.logprob) for each in answers for score in each.scores or ())
    cold = next(each for each in answers if each.key == "w/0")
    (greedy,) = engine.generate([request(max_new_tokens=9)])
    assert cold.token_ids == greedy.token_ids


def test_an_engine_names_the_request_that_it_refuses(setup: EngineSetup) -> None:
    engine = load_engine("native:gamma=0", setup)
    bad = msgspec.structs.replace(request(), stop_token_ids=(4000,))
    with pytest.raises(EngineError, match="native: cannot serve w/c: token id 4000 is outside"):
        list(engine.generate([bad]))
