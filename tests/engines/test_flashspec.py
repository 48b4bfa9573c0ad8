"""The flashspec engine on a small random pair, where the package is installed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.pairs.load import load_tokenizer
from equivcheck.testing import assert_engine

pytest.importorskip("flashspec")

DRAFTING = ("mode=speculative,gamma=3", "mode=ngram,gamma=3", "mode=composite")
REPEATING = tuple(range(10, 40)) * 2


def open_mode(options: str, setup: EngineSetup) -> Any:
    # Not through entry points: an installation may be older than the registration.
    from equivcheck.engines.flashspec import open_engine

    return open_engine(dict(item.split("=") for item in options.split(",")), setup)


def make_requests(**fields: Any) -> list[Request]:
    return [
        Request(
            key=f"test/{index}",
            prompt_ids=REPEATING[index : index + 20 + 7 * index],
            max_new_tokens=24,
            **fields,
        )
        for index in range(4)
    ]


@pytest.mark.parametrize("options", ["mode=plain", *DRAFTING])
def test_it_keeps_every_rule(options: str, setup: EngineSetup) -> None:
    findings = assert_engine(open_mode(options, setup), tokenizer=load_tokenizer(setup.pair))
    assert {finding.outcome for finding in findings} == {Outcome.PASS}


@pytest.mark.parametrize("options", ["mode=plain", *DRAFTING])
def test_greedy_tokens_are_those_of_the_native_plain_decoder(
    options: str, setup: EngineSetup
) -> None:
    native = {g.key: g for g in load_engine("native:gamma=0", setup).generate(make_requests())}
    for generation in open_mode(options, setup).generate(make_requests()):
        assert generation.token_ids == native[generation.key].token_ids
        assert generation.finish_reason == native[generation.key].finish_reason


@pytest.mark.parametrize("options", DRAFTING)
def test_steps_add_up_and_are_of_the_drafts_asked_for(options: str, setup: EngineSetup) -> None:
    engine = open_mode(options, setup)
    steps = []
    for generation in engine.generate(make_requests()):
        assert sum(step.emitted for step in generation.steps) == len(generation.token_ids)
        assert all(step.emitted == step.accepted + 1 for step in generation.steps[:-1])
        steps += generation.steps
    assert 0 < max(step.drafted for step in steps) <= engine.capabilities.num_speculative_tokens
    assert any(step.accepted < step.drafted for step in steps)


def test_plain_drafts_nothing(setup: EngineSetup) -> None:
    engine = open_mode("mode=plain", setup)
    assert engine.capabilities.num_speculative_tokens == 0
    for generation in engine.generate(make_requests()):
        assert {(step.drafted, step.emitted) for step in generation.steps} == {(0, 1)}


@pytest.mark.parametrize("options", ["mode=plain", *DRAFTING])
def test_a_sampled_answer_depends_on_its_seed_alone(options: str, setup: EngineSetup) -> None:
    engine = open_mode(options, setup)
    greedy = make_requests()[0]
    request = msgspec.structs.replace(greedy, sampling=Sampling(temperature=1.0))

    def answer(asked: Request) -> Generation:
        (generation,) = engine.generate([asked])
        assert isinstance(generation, Generation)
        return generation

    before, first = answer(greedy), answer(request)
    assert answer(greedy).token_ids == before.token_ids
    assert answer(request).token_ids == first.token_ids
    reseeded = msgspec.structs.replace(request, seed=1)
    assert answer(reseeded).token_ids != first.token_ids


@pytest.mark.parametrize("mode", ["plain", "composite"])
def test_a_gamma_without_meaning_is_refused(mode: str, setup: EngineSetup) -> None:
    with pytest.raises(SettingsError, match=f"gamma is without meaning for mode={mode}"):
        open_mode(f"mode={mode},gamma=4", setup)


def test_without_a_draft_model_only_the_lookup_drafts(setup: EngineSetup) -> None:
    alone = msgspec.structs.replace(setup, pair=setup.pair.partition("+")[0])
    with pytest.raises(SettingsError, match="has no draft model"):
        open_mode("mode=speculative", alone)
    (generation,) = open_mode("mode=ngram", alone).generate(make_requests()[:1])
    assert len(generation.token_ids) == 24


def test_what_the_library_raises_names_the_request(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_mode("mode=plain", setup)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no cache\nmore")

    monkeypatch.setattr(engine.verifier, "begin", broken)
    with pytest.raises(EngineError, match=r"generate\(\) broke on test/0: no cache$"):
        list(engine.generate(make_requests()[:1]))
