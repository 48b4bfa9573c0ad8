"""Streams of sampled outputs: drawn by one decoder in rounds over the same prompts, and scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine
from equivcheck.pairs.prompts import encode
from equivcheck.records.score_table import ScoreTable
from equivcheck.records.score_table_file import concatenate
from equivcheck.scoring.distribution_scorer import DistributionScorer

SUITES = ("code", "json_sql", "chat", "multilingual", "creative")
PROMPTS, TOKENS, CONTEXT = 32, 32, 128
"""Prompts of a round, tokens of an output, positions of a row."""
SOUND = "native:gamma=4,rule=rejection"
SAMPLINGS = {
    "T=1": Sampling(temperature=1.0),
    "T=.7": Sampling(temperature=0.7),
    "T=.8 top-p=.95": Sampling(temperature=0.8, top_p=0.95),
    "T=1 top-k=50": Sampling(temperature=1.0, top_k=50),
}


@dataclasses.dataclass
class Stream:
    """What one decoder has drawn under one distribution."""

    table: ScoreTable
    tokens: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    """[outputs, TOKENS], in the table's order: round by round, prompt by prompt."""


def prompts_of(engine: NativeEngine) -> list[tuple[int, ...]]:
    """The ends of suite prompts, of every class."""
    cases = [case for name in SUITES for case in load_suite(Path("suites") / f"{name}.jsonl").cases]
    encoded = [encode(engine.pair.tokenizer, case) for case in cases]
    longest = CONTEXT - TOKENS - 8
    return [tuple(ids[-longest:]) for ids in encoded[:: len(encoded) // PROMPTS]][:PROMPTS]


def drawn(
    spec: str, distribution: str, *, seed: int, rounds: Sequence[int], setup: EngineSetup
) -> Iterator[Stream]:
    """Draw so many rounds, then so many more, ...; yield all there is after each."""
    engine = load_engine(spec, setup)
    assert isinstance(engine, NativeEngine)
    scorer = DistributionScorer(
        Settings(setup=setup), eos_token_ids=engine.pair.eos_token_ids, drafter="model"
    )
    prompts = prompts_of(engine)
    tables: list[ScoreTable] = []
    outputs: list[tuple[int, ...]] = []
    done = 0
    for count in rounds:
        requests = [
            Request(
                key=f"power/{place:02}#{turn}",
                prompt_ids=prompt,
                max_new_tokens=TOKENS,
                ignore_eos=True,
                sampling=SAMPLINGS[distribution],
                seed=seed + turn * PROMPTS + place,
            )
            for turn in range(done, done + count)
            for place, prompt in enumerate(prompts)
        ]
        answers: dict[str, Generation] = {each.key: each for each in engine.generate(requests)}
        asked = [(request, answers[request.key]) for request in requests]
        tables.append(scorer.score(asked))
        outputs += [answer.token_ids for _, answer in asked]
        done += count
        yield Stream(concatenate(tables), np.array(outputs))
    engine.close()
