"""Requests with every kind of sampling, and what an engine draws for them."""

from __future__ import annotations

from collections.abc import Sequence

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import ROUND_MARK, Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine

Draws = Sequence[tuple[Request, Generation]]
SAMPLINGS = (
    Sampling(temperature=1.0),
    Sampling(temperature=0.8, top_p=0.9),
    Sampling(temperature=1.2, top_k=20),
    Sampling(temperature=1.0, min_p=0.05),
    Sampling(
        temperature=0.9,
        repetition_penalty=1.2,
        frequency_penalty=0.3,
        logit_bias={7: 1.5},
        banned_tokens=(9,),
        min_new_tokens=6,
        top_p=0.95,
    ),
)


def requests(
    rounds: int, *, tokens: int = 24, samplings: Sequence[Sampling] = SAMPLINGS
) -> list[Request]:
    return [
        Request(
            key=f"law/c{case}{ROUND_MARK}{number}",
            prompt_ids=tuple(range(20 + 5 * (case % 3), 60)),
            max_new_tokens=tokens,
            sampling=sampling,
            seed=1000 * case + number,
        )
        for number in range(rounds)
        for case, sampling in enumerate(samplings)
    ]


def draw(spec: str, setup: EngineSetup, asked: Sequence[Request]) -> Draws:
    engine = load_engine(spec, setup)
    answers = {answer.key: answer for answer in engine.generate(asked)}
    engine.close()
    return [(request, answers[request.key]) for request in asked]
