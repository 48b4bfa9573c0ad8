"""Each way of transformers to draft, for real: what it needs, its gate, faults seeded into it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.generation import candidate_generator
from transformers.modeling_layers import MtpModel

from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import lent, load_engine
from equivcheck.pipeline.run import run
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.drafting_checkpoints import write_all
from tests.engines.suite import sampling_suite

SMALL = Profile(tokens=400, required=(Required("leak", 1.0),))
TEXTS = (
    "import os\nimport sys\n\ndef main():\n",
    '{"name": "a", "value": 1}\n{"name": "b"',
    "def f(",
)
MODES = ("early-exit", "universal", "mtp", "dflash")
BIAS = {203: 12.0}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    write_all(folder)
    return folder


def setup_of(mode: str, folder: Path) -> EngineSetup:
    pair = str(folder / "mtp") if mode == "mtp" else "tiny"
    return EngineSetup(pair=pair, device="cpu", threads=1, batch_size=1, context=128)


def spec_of(mode: str, folder: Path) -> str:
    more = {
        "early-exit": "exit_layer=3",
        "universal": f"assistant={folder / 'foreign'}",
        "mtp": "",
        "dflash": f"assistant={folder / 'dflash'}",
    }[mode]
    return f"transformers:mode={mode}" + (f",{more}" if more else "")


def requests(folder: Path, heat: float = 0.0, *, biased: bool = False) -> list[Request]:
    tokenizer = load_engine("transformers", setup_of("mtp", folder)).pair.tokenizer  # type: ignore[attr-defined]
    return [
        Request(
            key=f"test/{number}",
            prompt_ids=tuple(tokenizer(text).input_ids),
            max_new_tokens=24,
            sampling=Sampling(temperature=heat, logit_bias=BIAS if biased else {}),
        )
        for number, text in enumerate(TEXTS)
    ]


def answers(spec: str, setup: EngineSetup, asked: list[Request]) -> list[Generation]:
    found = list(load_engine(spec, setup).generate(asked))
    assert all(isinstance(each, Generation) for each in found)
    return [each for each in found if isinstance(each, Generation)]


@pytest.mark.parametrize("mode", MODES)
def test_greedy_tokens_are_those_of_plain_decoding(mode: str, checkpoints: Path) -> None:
    # A bias that the drafters share lets every one of them be right at times.
    asked = requests(checkpoints)
    asked += [] if mode == "universal" else requests(checkpoints, biased=True)
    setup = setup_of(mode, checkpoints)
    plain = answers("transformers", setup, asked)
    found = answers(spec_of(mode, checkpoints), setup, asked)
    assert [each.token_ids for each in found] == [each.token_ids for each in plain]
    counts = [each.drafts_counted for each in found]
    assert 0 < sum(each.accepted for each in counts) < sum(each.drafted for each in counts)
    engine = load_engine(spec_of(mode, checkpoints), setup)
    for each in found if mode != "universal" else ():
        assert sum(step.emitted for step in each.steps) == len(each.token_ids)
        assert (
            max(step.drafted for step in each.steps) <= engine.capabilities.num_speculative_tokens
        )
    told = engine.capabilities.engine
    assert load_engine(told, setup).capabilities == engine.capabilities


def test_the_target_keeps_its_layers_where_early_exit_breaks(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of("early-exit", checkpoints)
    asked = requests(checkpoints)[:1]
    plain = load_engine("transformers", setup)
    (before,) = plain.generate(asked)
    engine: Any = load_engine("transformers:mode=early-exit", setup)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(
        candidate_generator.AssistedCandidateGenerator, "_generate_candidates", broken
    )
    with pytest.raises(EngineError, match="broke on test/0: no memory"):
        list(engine.generate(asked))
    (after,) = plain.generate(asked)
    assert isinstance(before, Generation)
    assert isinstance(after, Generation)
    assert after.token_ids == before.token_ids


def test_a_universal_assistant_serves_greedy_requests_behind_sampled_ones(
    checkpoints: Path,
) -> None:
    setup, spec = setup_of("universal", checkpoints), spec_of("universal", checkpoints)
    cold, warm = requests(checkpoints)[0], requests(checkpoints, 1.0)[1]
    engine = load_engine(spec, setup)
    first, _, again = engine.generate([cold, warm, cold])
    assert isinstance(first, Generation)
    assert isinstance(again, Generation)
    assert again.token_ids == first.token_ids


def test_a_universal_assistant_of_a_part_of_the_vocabulary_breaks_on_sampled_requests(
    checkpoints: Path,
) -> None:
    spec = f"transformers:mode=universal,assistant={checkpoints / 'subset'}"
    with pytest.raises(EngineError, match="no attribute 'assistant_overlap_token_ids'"):
        answers(spec, setup_of("universal", checkpoints), requests(checkpoints, 1.0))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("mode=universal", "needs assistant=FOLDER"),
        ("mode=dflash", "needs assistant=FOLDER"),
        ("mode=dflash,assistant={}/foreign", "no block drafter for this target: its config has"),
        ("mode=dflash,assistant=nowhere", "nowhere is no block drafter"),
        ("mode=mtp", "the target's config tells of no layers that predict ahead"),
        ("mode=early-exit,exit_layer=5", "no early exit: the target has 5 layers"),
        ("mode=mtp,gamma=3", "gamma=3 has no meaning in mode=mtp"),
        ("mode=lookup,exit_layer=2", "exit_layer=2 has no meaning in mode=lookup"),
        ("mode=assisted,assistant=a", "assistant=a has no meaning in mode=assisted"),
    ],
)
def test_what_a_mode_lacks_is_said(options: str, complaint: str, checkpoints: Path) -> None:
    spec = f"transformers:{options.format(checkpoints)}"
    with pytest.raises(SettingsError, match=complaint):
        load_engine(spec, setup_of("early-exit", checkpoints))


def unverified(engine: Any) -> None:
    """Let the target agree with whatever it is shown: blocks are committed without a check."""
    forward = type(engine.target).forward

    @functools.wraps(forward)
    def agreeing(input_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        output = forward(engine.target, input_ids, *args, **kwargs)
        shown = output.logits.shape[1] - 1
        if shown:
            mine = torch.arange(shown)
            output.logits[0, mine, input_ids[0, input_ids.shape[1] - shown :]] += 1e4
        return output

    engine.target.forward = agreeing


def gate(mode: str, checkpoints: Path, folder: Path, *, heat: float, fault: Any = None) -> Verdict:
    setup = setup_of(mode, checkpoints)

    def opened(options: Mapping[str, str], setup: EngineSetup) -> Engine:
        engine = load_engine(spec_of(mode, checkpoints), setup)
        if fault:
            fault(engine)
        return engine

    settings = Settings(
        setup=setup,
        target="transformers",
        candidate="mine",
        control=None,
        sampled_batch=4,
        profile="quick",
    )
    with lent({"mine": opened}):
        return run(settings, [sampling_suite(TEXTS, heats=(heat,))], folder)


def failed(verdict: Verdict) -> set[str]:
    return {each.check for each in verdict.findings if each.outcome is Outcome.FAIL}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "quick", SMALL)


@pytest.mark.parametrize("mode", MODES)
def test_a_block_that_is_committed_unverified_is_caught(
    mode: str, checkpoints: Path, tmp_path: Path
) -> None:
    verdict = gate(mode, checkpoints, tmp_path / "run", heat=0.0, fault=unverified)
    assert "greedy" in failed(verdict), verdict.headline


GENERATORS = {
    "early-exit": candidate_generator.EarlyExitCandidateGenerator,
    "mtp": candidate_generator.MTPCandidateGenerator,
    "dflash": candidate_generator.DFlashTokenCandidateGenerator,
}


@pytest.mark.parametrize("mode", GENERATORS)
def test_drafts_judged_by_another_q_are_caught(
    mode: str, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if drafts were drawn from all tokens alike: most are accepted."""
    kind: Any = GENERATORS[mode]
    drafted = kind.get_candidates

    def flatter(self: Any, *args: Any, **kwargs: Any) -> Any:
        ids, logits = drafted(self, *args, **kwargs)
        return ids, None if logits is None else torch.zeros_like(logits)

    monkeypatch.setattr(kind, "get_candidates", flatter)
    verdict = gate(mode, checkpoints, tmp_path / "run", heat=1.0)
    assert "sampled" in failed(verdict), verdict.headline


def in_order(self: Any, logits: torch.Tensor) -> torch.Tensor:
    """q with each logit at the token that its row of the pruned head stands for."""
    numbers = self._assistant_to_target_input_ids[self.assistant_overlap_token_ids]
    found = torch.full((*logits.shape[:-1], self.target_vocab_size), float("-inf"))
    found[..., numbers] = logits
    return found


@pytest.mark.parametrize("mended", [False, True])
def test_sampled_universal_drafts_are_judged_by_a_q_in_another_order(
    mended: bool, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of transformers 5.17.0, and nothing but that."""
    if mended:
        kind = candidate_generator.AssistantToTargetTranslator
        monkeypatch.setattr(kind, "get_target_logits", in_order)
    verdict = gate("universal", checkpoints, tmp_path / "run", heat=1.0)
    assert ("sampled" in failed(verdict)) is not mended, verdict.headline


def test_states_off_by_one_in_mtp_change_drafts_alone(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only drafts rest on changes no token, and nobody is accused of it."""
    setup, asked = setup_of("mtp", checkpoints), requests(checkpoints)
    sound = answers("transformers:mode=mtp", setup, asked)
    forward: Any = MtpModel.forward

    def late(self: Any, *args: Any, last_hidden_states: torch.Tensor, **kwargs: Any) -> Any:
        shifted = torch.roll(last_hidden_states, 1, dims=1)
        return forward(self, *args, last_hidden_states=shifted, **kwargs)

    monkeypatch.setattr(MtpModel, "forward", late)
    found = answers("transformers:mode=mtp", setup, asked)
    assert [each.token_ids for each in found] == [each.token_ids for each in sound]
    ours, theirs = (
        [step.drafts for each in some for step in each.steps] for some in (found, sound)
    )
    assert ours != theirs
