"""What the native engine does as it opens, where a mistake would go unnoticed until a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from equivcheck.bench import probing, worst
from equivcheck.bench.clocks import clock_of
from equivcheck.bench.probing import (
    copy_bandwidth,
    copy_bytes,
    draft_token_seconds,
    measure_memory,
)
from equivcheck.core.cases import Sampling
from equivcheck.core.errors import SettingsError
from equivcheck.core.generation import Request
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.backends import choose
from equivcheck.decoding.backends.choose import backend_for
from equivcheck.engines import native
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine
from equivcheck.engines.timing import draft_cost
from equivcheck.pairs.load import load_pair
from tests.heads import (
    eagle_config,
    eagle_shapes,
    head_config,
    id_map,
    mtp_shapes,
    random_tensors,
    save_head,
)
from tests.small_models import save_pair

CPU = torch.device("cpu")


def one_row(setup: EngineSetup) -> EngineSetup:
    return msgspec.structs.replace(setup, batch_size=1)


def test_stock_decoding_stays_on_the_library(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A width without a contract is no sign that the library breaks one."""

    def refuse() -> None:
        raise AssertionError("the project's own kernels were asked for")

    monkeypatch.setattr(native, "missing_for_kernels", lambda device: None)
    monkeypatch.setattr(native, "own_kernels", refuse)
    monkeypatch.setattr(choose, "missing_for_compiled", lambda dtype: "not here")
    engine = load_engine("native:gamma=0,width=1", one_row(setup))
    assert engine.capabilities.identity is None


def test_own_kernels_take_over_where_the_library_breaks_the_contract(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    probe = NativeEngine.probe

    def broken(self: NativeEngine, model: Any) -> Any:
        found = probe(self, model)
        return found if asked else msgspec.structs.replace(found, contract=None)

    def own_kernels() -> Any:
        asked.append(True)
        return backend_for("batch-invariant", device=CPU, dtype=torch.float32)

    monkeypatch.setattr(native, "missing_for_kernels", lambda device: None)
    monkeypatch.setattr(native, "own_kernels", own_kernels)
    monkeypatch.setattr(NativeEngine, "probe", broken)
    monkeypatch.setattr(choose, "missing_for_compiled", lambda dtype: "not here")
    engine = load_engine("native:gamma=0", one_row(setup))
    assert str(engine.capabilities.identity).startswith("batch-invariant")


def test_a_spoiled_drafter_is_in_no_recording(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring the cost of drafts records steps on a GPU, with the drafter as it is then."""

    def recording(decoder: Any, **options: Any) -> Any:
        decoder.runner.graphs["before"] = None
        return draft_cost(decoder, **options)

    monkeypatch.setattr(native, "draft_cost", recording)
    options = {"gamma": "2", "adaptive": "true"}
    engine = worst.open_engine(options, one_row(setup))
    assert engine.decoder.runner.graphs == {}


def test_prompts_are_read_together_where_the_probe_allows_it(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = msgspec.structs.replace(setup, batch_size=2)
    for asked, together in ((pair, True), (one_row(setup), False)):
        engine: Any = load_engine("native:gamma=0", asked)
        assert engine.decoder.prefill.together is together
    probe = NativeEngine.probe

    def without(self: NativeEngine, model: Any) -> Any:
        return msgspec.structs.replace(probe(self, model), probes=())

    monkeypatch.setattr(NativeEngine, "probe", without)
    engine = load_engine("native:gamma=0", pair)
    assert not engine.decoder.prefill.together


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("context", [64, 70])
def test_a_prompt_may_fill_the_context(setup: EngineSetup, rows: int, context: int) -> None:
    """The chunk that ends it goes on behind the context."""
    full = msgspec.structs.replace(setup, batch_size=rows, context=context)
    requests = [
        Request(
            key=f"test/{at}",
            prompt_ids=tuple(range(20 + at, 19 + at + context)),
            max_new_tokens=1,
            sampling=Sampling(),
        )
        for at in range(3)
    ]
    plain, drafted = (
        {answer.key: answer for answer in load_engine(spec, full).generate(requests)}
        for spec in ("native:gamma=0", "native:gamma=2")
    )
    for key, answer in plain.items():
        assert answer.token_ids == drafted[key].token_ids
        assert answer.logit_digests == drafted[key].logit_digests


@pytest.mark.parametrize(("rule", "measured"), [("coupled", [True, False]), ("greedy", [False])])
def test_drafts_are_timed_for_truncated_distributions_where_there_may_be_any(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch, rule: str, measured: list[bool]
) -> None:
    truncated: list[bool] = []

    def noting(decoder: Any, **options: Any) -> Any:
        found = draft_cost(decoder, **options)
        truncated.append(decoder.rows.controls.features.truncated)
        return found

    monkeypatch.setattr(native, "draft_cost", noting)
    engine: Any = load_engine(f"native:gamma=2,adaptive=true,rule={rule}", one_row(setup))
    assert truncated == measured
    policy = engine.decoder.gamma
    assert (policy.truncated_cost is policy.cost) is (rule == "greedy")


@pytest.mark.parametrize(("context", "width"), [(64, 32), (99, 64)])
def test_a_step_may_be_as_wide_as_a_short_context_allows(
    setup: EngineSetup, context: int, width: int
) -> None:
    short = msgspec.structs.replace(one_row(setup), context=context)
    engine: Any = load_engine(f"native:gamma=0,width={width}", short)
    assert engine.tax[0].startswith("identity tax")


@pytest.mark.parametrize(
    ("options", "kind", "timed"),
    [
        ("gamma=0", None, False),
        ("gamma=2,drafter=model", "model", True),
        ("gamma=2,drafter=lookup", "lookup", True),
        ("gamma=2,drafter=mixed", None, False),
        ("gamma=2,drafter=suffix", "one-hot", False),
    ],
)
def test_only_a_single_drafter_has_a_kind_and_a_time_of_its_own(
    setup: EngineSetup, options: str, kind: str | None, timed: bool
) -> None:
    engine: Any = load_engine(f"native:{options}", one_row(setup))
    request = Request(key="test/0", prompt_ids=(20, 21, 22), max_new_tokens=4)
    assert engine.capabilities.drafter == kind
    found = draft_token_seconds(engine, [request], clock=clock_of(CPU))
    assert (found is not None) is timed


def test_a_draft_that_is_never_right_is_of_no_kind(setup: EngineSetup) -> None:
    engine = worst.open_engine({"gamma": "2", "drafter": "mixed"}, one_row(setup))
    request = Request(key="test/0", prompt_ids=(20, 21, 22), max_new_tokens=4)
    assert engine.capabilities.drafter is None
    assert draft_token_seconds(engine, [request], clock=clock_of(CPU)) is None


def test_a_pool_of_answers_is_declared_and_can_be_reset(setup: EngineSetup) -> None:
    engine: Any = load_engine("native:gamma=2,drafter=suffix", one_row(setup))
    assert engine.capabilities.stateful_drafter
    assert not load_engine("native:gamma=2", one_row(setup)).capabilities.stateful_drafter
    asked = [
        Request(key=f"test/{at}", prompt_ids=(20, 21, 22), max_new_tokens=9, ignore_eos=True)
        for at in range(2)
    ]
    counts = []
    for reset in (False, False, True):
        if reset:
            engine.reset()
        steps = [step for answer in engine.generate(asked) for step in answer.steps]
        counts.append(sum(step.accepted for step in steps))
    assert counts[0] == counts[2] < counts[1]


@pytest.mark.parametrize("kind", ["eagle3", "mtp"])
def test_a_head_is_read_from_a_folder(setup: EngineSetup, tmp_path: Path, kind: str) -> None:
    config: Any = load_pair(setup.pair, dtype=torch.float32, device="cpu").target.config
    if kind == "mtp":
        told = head_config(config, num_nextn_predict_layers=2)
        tensors = random_tensors(mtp_shapes(told))
    else:
        told = eagle_config(config, keeps=(0, 1, 2), drafted=128, max_position_embeddings=99)
        tensors = random_tensors(eagle_shapes(told, target_hidden=config.hidden_size))
        tensors |= id_map(128, vocab=config.vocab_size)
    folder = save_head(tmp_path / kind, told, tensors)
    spec = f"native:gamma=2,drafter={kind},head={folder}"
    engine: Any = load_engine(spec, one_row(setup))
    request = Request(key="test/0", prompt_ids=(20, 21, 22), max_new_tokens=12)
    (answer,) = engine.generate([request])
    (plain,) = load_engine("native:gamma=0", one_row(setup)).generate([request])
    assert answer.token_ids == plain.token_ids
    assert answer.logit_digests == plain.logit_digests
    assert any(step.drafted for step in answer.steps)
    told_of = engine.capabilities
    assert (told_of.drafter, told_of.method, told_of.engine) == (None, kind, spec)
    assert any(note.startswith(f"{kind} head of sha256") for note in told_of.notes)
    assert measure_memory(engine, lambda: None, device=CPU).draft


def test_a_head_that_is_not_there_is_asked_for_by_name(setup: EngineSetup, tmp_path: Path) -> None:
    alone = msgspec.structs.replace(setup, pair=save_pair(tmp_path))
    with pytest.raises(SettingsError, match="head=FOLDER"):
        load_engine("native:gamma=2,drafter=mtp", one_row(alone))
    with pytest.raises(SettingsError, match="head is for drafter=eagle3"):
        load_engine("native:gamma=2,head=somewhere", one_row(setup))


@pytest.mark.parametrize("drafter", ["model", "mixed", "lookup"])
def test_the_draft_models_memory_is_counted(setup: EngineSetup, drafter: str) -> None:
    engine = load_engine(f"native:gamma=2,drafter={drafter}", one_row(setup))
    found = measure_memory(engine, lambda: None, device=CPU)
    assert bool(found.draft) is (drafter != "lookup")


def test_copies_fit_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, free = torch.device("cuda"), 2**40
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**41))
    assert copy_bytes(gpu) == probing.COPY_BYTES["cuda"]
    free = 2**20
    assert copy_bytes(gpu) == 2**18
    monkeypatch.setitem(probing.COPY_BYTES, "cpu", 2**20)
    assert copy_bandwidth(CPU, clock=clock_of(CPU)).buffer_bytes == 2**20


@pytest.mark.parametrize("drafter", ["mixed", "suffix"])
def test_drafters_that_go_by_the_last_step_have_no_lag(setup: EngineSetup, drafter: str) -> None:
    with pytest.raises(SettingsError, match=f"lag=1, but drafter={drafter} goes by the last step"):
        load_engine(f"native:gamma=2,drafter={drafter},lag=1", one_row(setup))
