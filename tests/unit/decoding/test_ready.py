"""What is recorded ahead is what comes up: no request waits for a recording."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest
import torch
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter, PromptLookupDrafter
from equivcheck.decoding.gamma import AdaptiveGamma, DraftCost, GammaPolicy
from equivcheck.decoding.graphs import CapturedGraph, Landing, Recorder, Step, StepRunner
from equivcheck.decoding.mixing import MixedDrafter, MixedGamma
from equivcheck.decoding.prefill import Prefill
from equivcheck.decoding.reaching import reaches
from tests.unit.decoding.models import (
    POSITIONS,
    decode,
    make_decoder,
    model_drafter,
    random_llama,
)


class Notes(Recorder):
    """Runs what there is as it is, and notes what it was told of ahead and what came up."""

    def __init__(self, device: torch.device, **options: Any) -> None:
        super().__init__(device, **options)
        self.ahead: set[Hashable] = set()
        self.met: set[Hashable] = set()

    @property
    def records(self) -> bool:
        return True

    def recorded(self, key: Hashable, step: Step) -> CapturedGraph:
        self.ahead.add(key)
        return None  # type: ignore[return-value]

    def execute(self, key: Hashable, step: Step) -> Tensor:
        self.met.add(key)
        return step()


class Steps(Notes, StepRunner):
    """The same for steps."""

    def launch(self, key: Hashable, step: Step) -> Landing:
        return Landing(self.execute(key, step), None)


def watched(decoder: Decoder) -> Steps:
    """Have steps and readings noted, on a target whose attention stops at several lengths."""
    runner = Steps(decoder.model.device, state=decoder.rows.state, lag=decoder.runner.lag)
    decoder.runner = runner
    decoder.model = adopt(
        random_llama(torch.float32), positions=POSITIONS, reaches=reaches(POSITIONS)
    )
    decoder.prefill = Prefill(decoder.model, decoder.cache, together=True)
    readers = [decoder.prefill]
    if isinstance(decoder.drafter, ModelDrafter):
        readers.append(decoder.drafter.prefill)
    for reader in readers:
        reader.recorder = Notes(decoder.model.device)
    return runner


def assert_foreseen(decoder: Decoder) -> None:
    """Whatever came up had been recorded ahead, and something had of each kind."""
    for notes in decoder.recorders:
        assert isinstance(notes, Notes)
        assert notes.met
        assert notes.met <= notes.ahead


def greedy(count: int) -> list[Request]:
    """From one reach of attention well into the next."""
    return [
        Request(
            key=f"test/{index}",
            prompt_ids=tuple(range(10, 60 + 9 * index)),
            max_new_tokens=70,
            sampling=Sampling(),
            ignore_eos=True,
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(
    ("cost", "noise"),
    [(None, 0.08), ((0.1, 0.1), 0.2), ((0.3, 0.2), 0.2), ((0.6, 0.5), 0.5)],
)
def test_no_step_comes_up_that_was_not_recorded(
    cost: tuple[float, float] | None, noise: float, lag: int
) -> None:
    """On a GPU outcomes come one step late, so that a step stands between a try and its lesson."""
    policy = GammaPolicy(4) if cost is None else AdaptiveGamma(5, cost=DraftCost(*cost))
    decoder = make_decoder(model_drafter(rows=2, noise=noise), rows=2, policy=policy)
    decoder.runner.lag = lag
    runner, requests = watched(decoder), greedy(6)
    decoder.ready(requests)
    assert not any(decoder.seats)
    expected = make_decoder(rows=2)
    watched(expected)
    answers, plain = decode(decoder, requests), decode(expected, requests)
    assert all(answers[key].token_ids == plain[key].token_ids for key in plain)
    assert {key[-1] for key in runner.met if isinstance(key, tuple)} == {128, 192}
    assert len(decoder.recorders) == 3
    assert_foreseen(decoder)


def test_plain_decoding_is_foreseen_too() -> None:
    decoder = make_decoder(rows=2)
    watched(decoder)
    decoder.ready(greedy(3))
    decode(decoder, greedy(3))
    assert len(decoder.recorders) == 2
    assert_foreseen(decoder)


def test_lookups_and_drafts_are_both_recorded() -> None:
    decoder = make_decoder(
        MixedDrafter(model_drafter(rows=1), PromptLookupDrafter()),
        rows=1,
        policy=MixedGamma(4, cost=DraftCost(0.3, 0.2), lookup_cost=DraftCost(0, 0), may_pause=True),
    )
    runner, requests = watched(decoder), greedy(2)
    decoder.ready(requests)
    decode(decoder, requests)
    assert {bool(key[1]) for key in runner.met if isinstance(key, tuple)} == {True, False}
    assert runner.met <= runner.ahead


def test_where_nothing_is_recorded_nothing_is_done_ahead() -> None:
    decoder = make_decoder(model_drafter(rows=1), rows=1)
    decoder.ready(greedy(1))
    assert not decoder.runner.graphs
