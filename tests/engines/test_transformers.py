"""The transformers engine on a small random pair whose checkpoints try to leak their settings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines import transformers as adapter
from equivcheck.engines.registry import load_engine
from equivcheck.engines.transformers import TransformersEngine
from equivcheck.engines.transformers_config import compiling

MODES = ("plain", "assisted", "lookup")
REPEATING = tuple(range(10, 40)) * 2
SAMPLINGS = (
    Sampling(),
    Sampling(repetition_penalty=1.3),
    Sampling(presence_penalty=0.7, frequency_penalty=0.2),
    Sampling(logit_bias={7: 2.5, 300: -4.0}, banned_tokens=(115, 250)),
    Sampling(min_new_tokens=12, logit_bias={0: 30.0}),
)


def make_requests(**fields: Any) -> list[Request]:
    return [
        Request(
            key=f"test/{index}",
            prompt_ids=REPEATING[index : index + 20 + 7 * index],
            max_new_tokens=24,
            sampling=distribution,
            **fields,
        )
        for index, distribution in enumerate(SAMPLINGS)
    ]


def open_mode(mode: str, setup: EngineSetup, **options: str) -> Any:
    more = "".join(f",{name}={value}" for name, value in options.items())
    return load_engine(f"transformers:mode={mode}{more}", setup)


def answer(engine: Any, request: Request) -> Generation:
    (generation,) = engine.generate([request])
    assert isinstance(generation, Generation)
    return generation


@pytest.mark.parametrize("mode", MODES)
def test_greedy_tokens_are_those_of_the_native_plain_decoder(mode: str, setup: EngineSetup) -> None:
    native = {g.key: g for g in load_engine("native:gamma=0", setup).generate(make_requests())}
    for generation in open_mode(mode, setup).generate(make_requests()):
        assert generation.token_ids == native[generation.key].token_ids
        assert generation.finish_reason == native[generation.key].finish_reason
        assert generation.scores is not None
        expected = native[generation.key].scores
        assert expected is not None
        for one, other in zip(generation.scores, expected, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert one.rival_logprob == pytest.approx(other.rival_logprob, abs=1e-4)


def test_minimum_length_holds_back_an_end_that_is_all_but_certain(setup: EngineSetup) -> None:
    generation = answer(open_mode("plain", setup), make_requests()[4])
    assert (len(generation.token_ids), generation.finish_reason) == (13, "eos")


@pytest.mark.parametrize("mode", ["assisted", "lookup"])
def test_steps_add_up_and_drafts_are_accepted_and_rejected(mode: str, setup: EngineSetup) -> None:
    engine = open_mode(mode, setup, gamma="3")
    steps = []
    for generation in engine.generate([*make_requests(), repeating_request()]):
        assert sum(step.emitted for step in generation.steps) == len(generation.token_ids)
        assert all(step.emitted == step.accepted + 1 for step in generation.steps[:-1])
        steps += generation.steps
    assert {step.drafted for step in steps} <= {0, 1, 2, 3}
    assert any(step.accepted for step in steps)
    assert any(step.accepted < step.drafted for step in steps)


def repeating_request() -> Request:
    """Its output is made to repeat the prompt, so that looking up pays."""
    bias = Sampling(logit_bias=dict.fromkeys(range(10, 14), 40.0), repetition_penalty=1.05)
    return Request(key="test/again", prompt_ids=REPEATING, max_new_tokens=24, sampling=bias)


@pytest.mark.parametrize("mode", MODES)
def test_a_sampled_answer_depends_on_its_seed_alone(mode: str, setup: EngineSetup) -> None:
    engine = open_mode(mode, setup)
    request = msgspec.structs.replace(make_requests()[0], sampling=Sampling(temperature=1.0))
    first = answer(engine, request)
    torch.rand(3)
    answer(engine, make_requests()[1])
    assert answer(engine, request).token_ids == first.token_ids
    reseeded = msgspec.structs.replace(request, seed=1)
    assert answer(engine, reseeded).token_ids != first.token_ids


def test_sampling_leaves_the_callers_random_state_alone(setup: EngineSetup) -> None:
    engine = open_mode("plain", setup)
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    answer(engine, msgspec.structs.replace(make_requests()[0], sampling=Sampling(temperature=1.0)))
    assert torch.equal(torch.rand(3), expected)


def test_truncation_is_that_of_the_request(setup: EngineSetup) -> None:
    request = msgspec.structs.replace(
        make_requests()[0], sampling=Sampling(temperature=5.0, top_k=1)
    )
    engine = open_mode("plain", setup)
    assert answer(engine, request).token_ids == answer(engine, make_requests()[0]).token_ids
    wide = msgspec.structs.replace(request, sampling=Sampling(temperature=5.0), max_new_tokens=60)
    assert len(set(answer(engine, wide).token_ids)) > 40


@pytest.mark.parametrize("mode", MODES)
def test_stop_strings_end_the_output_at_the_token_that_completes_them(
    mode: str, setup: EngineSetup
) -> None:
    engine = open_mode(mode, setup)
    free = answer(engine, make_requests()[0])
    for end in range(2, 12):
        text = engine.detokenise(free.token_ids[end - 2 : end])
        if not text.isprintable() or "\ufffd" in text:
            continue
        stopped = answer(engine, msgspec.structs.replace(make_requests()[0], stop=(text,)))
        assert stopped.token_ids == free.token_ids[: len(stopped.token_ids)]
        assert len(stopped.token_ids) <= end
        assert stopped.finish_reason == "stop"
        assert sum(step.emitted for step in stopped.steps) == len(stopped.token_ids)
        assert stopped.scores is not None
        assert len(stopped.scores) == len(stopped.token_ids)


@pytest.mark.parametrize("mode", MODES)
def test_stop_ids_end_the_output_at_every_place(mode: str, setup: EngineSetup) -> None:
    engine = open_mode(mode, setup)
    free = answer(engine, make_requests()[0]).token_ids
    for token in free[:9]:
        request = msgspec.structs.replace(make_requests()[0], stop_token_ids=(token,))
        stopped = answer(engine, request)
        assert stopped.token_ids == free[: free.index(token) + 1]
        assert stopped.finish_reason == "stop"


@pytest.mark.parametrize(("ignore", "reason"), [(False, "eos"), (True, "length")])
def test_the_end_of_text_can_be_ignored(ignore: bool, reason: str, setup: EngineSetup) -> None:
    request = msgspec.structs.replace(make_requests()[4], ignore_eos=ignore)
    generation = answer(open_mode("plain", setup), request)
    assert generation.finish_reason == reason


def test_a_step_without_a_token_is_an_error_and_not_a_hang(setup: EngineSetup) -> None:
    # Prompt lookup takes the prompt's own end of text for a finished draft and drops a token that
    # is not there.
    request = Request(key="test/eos", prompt_ids=(5, 6, 0), max_new_tokens=8)
    assert len(answer(open_mode("plain", setup), request).token_ids) == 8
    with pytest.raises(EngineError, match="broke on test/eos: a step gave no token"):
        answer(open_mode("lookup", setup), request)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prompt_ids": ()}, "cannot serve test/0: its prompt is empty"),
        ({"prompt_ids": (4, 999)}, "token id 999 is outside the vocabulary of 304"),
        ({"sampling": Sampling(logit_bias={304: 1.0})}, "token id 304 is outside"),
        ({"max_new_tokens": 250}, "need 270 positions, setup.context is 256"),
    ],
)
def test_what_cannot_be_served_is_refused(
    changes: dict[str, Any], complaint: str, setup: EngineSetup
) -> None:
    with pytest.raises(EngineError, match=complaint):
        answer(open_mode("plain", setup), msgspec.structs.replace(make_requests()[0], **changes))


def test_assisting_needs_a_draft(setup: EngineSetup) -> None:
    alone = msgspec.structs.replace(setup, pair=setup.pair.partition("+")[0])
    with pytest.raises(SettingsError, match="has no draft model; name one as TARGET"):
        open_mode("assisted", alone)


def test_scores_can_be_left_out(setup: EngineSetup) -> None:
    engine = open_mode("lookup", setup, scores="false")
    generation = answer(engine, make_requests()[0])
    assert generation.scores is None
    assert generation.steps
    assert not engine.capabilities.reports_scores


def test_its_name_opens_it_again(setup: EngineSetup) -> None:
    told = open_mode("lookup", setup, gamma="2", scores="false").capabilities
    assert told.engine == "transformers:mode=lookup,gamma=2,scores=false"
    assert load_engine(told.engine, setup).capabilities == told


def test_closing_lets_go_of_the_models(setup: EngineSetup) -> None:
    engine = open_mode("assisted", setup)
    engine.close()
    assert isinstance(engine, TransformersEngine)
    assert not hasattr(engine, "target")


def test_the_checkpoints_are_left_as_they_were(setup: EngineSetup) -> None:
    engine = open_mode("assisted", setup)
    answer(engine, make_requests()[0])
    assert engine.pair.target.generation_config.top_k == 3
    assert engine.pair.draft.generation_config.num_assistant_tokens != 4


def test_a_compiled_step_over_a_static_cache_says_the_same(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another backend: tracing is the same, and compiling C++ takes more than a minute.
    settings = compiling(torch.device("cpu"))
    settings["compile_config"].backend = "eager"
    monkeypatch.setattr(adapter, "compiling", lambda device: settings)
    plain, compiled = open_mode("plain", setup), open_mode("plain", setup, compiled="true")
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for request in make_requests():
        assert answer(compiled, request).token_ids == answer(plain, request).token_ids
    # One graph for requests of any length.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1
    assert compiled.capabilities.engine == "transformers:mode=plain,compiled=true"


@pytest.mark.parametrize(
    ("device", "mode", "told"), [("cpu", "default", True), ("cuda", "reduce-overhead", None)]
)
def test_what_generate_is_told_to_compile(device: str, mode: str, told: bool | None) -> None:
    config = compiling(torch.device(device))["compile_config"]
    assert (config.mode, config._compile_all_devices) == (mode, told)


@pytest.mark.parametrize("mode", ["assisted", "lookup"])
def test_drafting_is_not_compiled(mode: str, setup: EngineSetup) -> None:
    with pytest.raises(SettingsError, match=f"compiled=true does not go with mode={mode}"):
        open_mode(mode, setup, compiled="true")
