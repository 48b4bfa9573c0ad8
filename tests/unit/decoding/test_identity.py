"""Speculative decoding is plain decoding, bit for bit: tokens, logits and cache contents."""

from __future__ import annotations

import pytest
import torch

from equivcheck.core.generation import Generation
from equivcheck.decoding.gamma import AdaptiveGamma, DraftCost
from tests.unit.decoding.models import (
    decode,
    drafter_named,
    make_decoder,
    make_requests,
    model_drafter,
)

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def assert_same_bits(plain: dict[str, Generation], other: dict[str, Generation]) -> None:
    assert plain.keys() == other.keys()
    for key, generation in plain.items():
        assert other[key].token_ids == generation.token_ids, key
        assert other[key].finish_reason == generation.finish_reason, key
        assert other[key].logit_digests == generation.logit_digests, key
        assert other[key].scores == generation.scores, key


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("drafter", ["model", "lookup"])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_speculative_equals_plain(dtype: torch.dtype, drafter: str, rows: int) -> None:
    requests = make_requests(12)
    plain = decode(make_decoder(rows=rows, dtype=dtype), requests)
    named = drafter_named(drafter, rows=rows, dtype=dtype)
    assert_same_bits(plain, decode(make_decoder(named, rows=rows, dtype=dtype), requests))


@pytest.mark.parametrize("gamma", range(1, 8))
def test_every_gamma_equals_plain_and_reaches_every_slot(gamma: int) -> None:
    requests = make_requests(12, tokens=40)
    plain = decode(make_decoder(), requests)
    drafted = decode(make_decoder(model_drafter(rows=4), gamma=gamma), requests)
    assert_same_bits(plain, drafted)
    accepted = {step.accepted for generation in drafted.values() for step in generation.steps}
    assert accepted == set(range(gamma + 1))


def test_adaptive_gamma_equals_plain_and_uses_zero() -> None:
    requests = make_requests(12, tokens=60)
    plain = decode(make_decoder(), requests)
    hopeless = AdaptiveGamma(7, cost=DraftCost(0.9, 0.9))
    adaptive = decode(make_decoder(model_drafter(rows=4, noise=3.0), policy=hopeless), requests)
    assert_same_bits(plain, adaptive)
    drafted = [step.drafted for generation in adaptive.values() for step in generation.steps]
    assert 0 in drafted
    assert max(drafted) > 0


def test_identity_does_not_depend_on_order_or_neighbours() -> None:
    requests = make_requests(12)
    forward = decode(make_decoder(model_drafter(rows=4)), requests)
    assert_same_bits(forward, decode(make_decoder(model_drafter(rows=4)), requests[::-1]))
    alone = make_decoder(model_drafter(rows=4))
    assert_same_bits(forward, {r.key: decode(alone, [r])[r.key] for r in requests})


def test_a_run_that_was_broken_off_leaves_nothing_behind() -> None:
    requests = make_requests(8)
    fresh = decode(make_decoder(model_drafter(rows=4)), requests)
    decoder = make_decoder(model_drafter(rows=4))
    next(decoder.run(make_requests(8, seed=99)))
    assert_same_bits(fresh, decode(decoder, requests))


def test_cache_contents_are_the_same_bits() -> None:
    request = make_requests(1, tokens=48)[0]
    plain = make_decoder(rows=1)
    drafting = make_decoder(model_drafter(rows=1), rows=1)
    known = len(request.prompt_ids) + len(decode(plain, [request])[request.key].token_ids) - 1
    decode(drafting, [request])
    for layer in range(2):
        for left, right in (
            (plain.cache.keys[layer], drafting.cache.keys[layer]),
            (plain.cache.values[layer], drafting.cache.values[layer]),
        ):
            assert torch.equal(left[0, :known], right[0, :known])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_comparison_can_fail(dtype: torch.dtype) -> None:
    """One-token steps have other kernels: were the fingerprints blind, this would pass too."""
    requests = make_requests(12)
    padded = decode(make_decoder(rows=1, dtype=dtype), requests)
    narrow = decode(make_decoder(rows=1, width=1, dtype=dtype), requests)
    differing = sum(
        left != right
        for key in padded
        for left, right in zip(
            padded[key].logit_digests or (), narrow[key].logit_digests or (), strict=False
        )
    )
    assert differing > 0
