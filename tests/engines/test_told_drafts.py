"""Engines that know their drafts name all of them, also behind a cut, and count them truly."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.checks.counters import faults_of
from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine

ENGINES = (
    "native:gamma=0",
    "native:gamma=4",
    "native:gamma=4,drafter=lookup",
    "native:gamma=4,drafter=mixed",
    "native:gamma=4,rule=rejection",
    "transformers:mode=assisted,gamma=3",
    "transformers:mode=lookup,gamma=3",
)
REPEATING = tuple(range(10, 40)) * 2


def requests() -> list[Request]:
    asked = [
        Request(
            key=f"test/{distribution.temperature}-{index}",
            prompt_ids=REPEATING[index : index + 20 + 7 * index],
            max_new_tokens=24,
            sampling=distribution,
            seed=index,
        )
        for distribution in (Sampling(), Sampling(temperature=1.0))
        for index in range(6)
    ]
    return asked


@pytest.mark.parametrize("spec", ENGINES)
def test_every_step_names_its_drafts(spec: str, setup: EngineSetup) -> None:
    engine = load_engine(spec, setup)
    whole = {answer.key: answer for answer in engine.generate(requests())}
    # Stopped in the middle of what was emitted, so that some steps are cut.
    stopped = [
        msgspec.structs.replace(each, stop_token_ids=(whole[each.key].token_ids[at],))
        for each in requests()
        for at in range(3, min(11, len(whole[each.key].token_ids)))
    ]
    cut = list(
        engine.generate(
            [msgspec.structs.replace(r, key=f"{r.key}-{n}") for n, r in enumerate(stopped)]
        )
    )
    answers = [*whole.values(), *cut]
    for answer in answers:
        assert list(faults_of(answer, engine.capabilities)) == []
        for step in answer.steps:
            assert step.drafts is not None
            assert len(step.drafts) == step.drafted
    steps = [step for answer in answers for step in answer.steps]
    if spec != "native:gamma=0":
        assert sum(step.drafted for step in steps) > 20
        # Some name drafts that were never judged.
        assert any(step.accepted + 1 < step.drafted for step in steps)
        assert any(step.emitted < step.drafted for step in steps)
    engine.close()
