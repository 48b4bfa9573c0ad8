"""Attention stops early only where that changes no bit."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.interface import KeyValues
from equivcheck.decoding.backends.stock import StockBackend
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Drafter, ModelDrafter
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.reaching import probe_reach, reaches, sound_reaches
from equivcheck.decoding.verification import MatchRule
from tests.unit.decoding.models import decode, detokenise, make_requests, random_llama

POSITIONS = 576
ROWS, WIDTH = 4, 8


@functools.cache
def model(dtype: torch.dtype, lengths: tuple[int, ...] = (), *, noise: float = 0.0) -> StaticModel:
    return adopt(random_llama(dtype, noise=noise), positions=POSITIONS, reaches=lengths)


@functools.cache
def found(dtype: torch.dtype) -> tuple[int, ...]:
    return sound_reaches(model(dtype), rows=ROWS, width=WIDTH)


def decoder(target: StaticModel, drafter: Drafter | None, *, gamma: int = 4) -> Decoder:
    return Decoder(
        target,
        rows=ROWS,
        width=WIDTH,
        rule=MatchRule(),
        drafter=drafter,
        gamma=GammaPolicy(gamma),
        eos_token_ids=(),
        detokenise=detokenise,
    )


def test_reaches_rise_by_at_most_half_to_the_whole_cache() -> None:
    assert reaches(1088) == (128, 192, 256, 384, 512, 768, 1024, 1088)
    assert reaches(128) == (128,)
    assert reaches(100) == (100,)


def test_the_least_reach_that_holds_a_step_is_taken() -> None:
    lengths = model(torch.float32, (128, 192))
    assert [lengths.reach(needed) for needed in (1, 128, 129, 193, 9000)] == [
        128,
        128,
        192,
        POSITIONS,
        POSITIONS,
    ]


class CountsKeys(StockBackend):
    """Attention with a last bit that depends on how many keys there are."""

    def attend(self, query: Tensor, seen: KeyValues, visible: Tensor) -> Tensor:
        mixed = super().attend(query, seen, visible)
        return torch.nextafter(mixed, mixed + 1) if seen.keys.shape[1] % 128 else mixed


def test_a_reach_that_changes_bits_is_passed_over_and_told() -> None:
    llama = random_llama(torch.float32)
    lengths = found(torch.float32)
    counting = adopt(llama, positions=POSITIONS, backend=CountsKeys(), reaches=(128, 192, 256))
    # The whole is no multiple of 128 either, so the multiples are what differs from it.
    kept = sound_reaches(counting, rows=ROWS, width=WIDTH)
    assert kept == tuple(length for length in lengths if length % 128)
    probe = probe_reach(counting, rows=ROWS, width=WIDTH)
    assert probe.differing > 0
    report = probe_contract(counting, rows=ROWS, width=WIDTH, tokens=4)
    assert report.contract is None
    assert "reach" in {probe.name for probe in report.failed}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_was_found_holds_on_other_numbers(dtype: torch.dtype) -> None:
    target = model(dtype, found(dtype))
    probe = probe_reach(target, rows=ROWS, width=WIDTH)
    assert probe.differing == 0
    assert probe.compared > 0 or len(target.reaches) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_outputs_and_logits_do_not_depend_on_the_reach(dtype: torch.dtype) -> None:
    """Rows of 1 to 97 prompt tokens grow past 128 and 192 while others start again."""
    requests = make_requests(10, tokens=150)
    whole = decode(decoder(model(dtype), None), requests)
    near = model(dtype, found(dtype))
    assert len(near.reaches) > 1, "no shorter reach holds here; nothing would be tested"
    draft = ModelDrafter(model(dtype, reaches(POSITIONS), noise=0.08), rows=ROWS)
    seen = set()
    drafting = decoder(near, draft)
    step = drafting.step

    def watched(gamma: int) -> object:
        outcomes = step(gamma)
        seen.add(drafting.rows.reach)
        return outcomes

    drafting.step = watched  # type: ignore[method-assign, assignment]
    for other in (decode(decoder(near, None), requests), decode(drafting, requests)):
        for key, generation in whole.items():
            assert other[key].token_ids == generation.token_ids, key
            assert other[key].logit_digests == generation.logit_digests, key
    assert len(seen) > 1, "all steps had one reach"


def test_a_step_reaches_far_enough_for_what_is_not_known_yet() -> None:
    """On a GPU the host does not know yet what the step before accepted: up to a window."""
    dtype = torch.float32
    requests = make_requests(6, tokens=150)
    whole = decode(decoder(model(dtype), None), requests)
    drafting = decoder(
        model(dtype, found(dtype)), ModelDrafter(model(dtype), rows=ROWS), gamma=WIDTH - 1
    )
    drafting.runner.lag = 1
    for key, answer in decode(drafting, requests).items():
        assert answer.token_ids == whole[key].token_ids, key
        assert answer.logit_digests == whole[key].logit_digests, key
