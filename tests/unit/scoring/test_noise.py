"""The second implementation of the random stream gives the same bits as the first."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equivcheck.core.generation import Request
from equivcheck.decoding.streams import LARGEST_UNIFORM, Purpose, Streams, stream_key
from equivcheck.scoring.noise import Use, gumbel, key_of, uniforms

KEYS = [("law/a#1", 0), ("law/a#2", 0), ("law/a#1", 7), ("wörter/é", -3), ("big", 2**40 + 5)]
WIDTHS = (1, 3, 4, 257, 4096)


def request(key: str, seed: int) -> Request:
    return Request(key=key, prompt_ids=(1, 2), max_new_tokens=4, seed=seed)


def streams(key: str, seed: int) -> Streams:
    found = Streams(rows=1, device=torch.device("cpu"))
    found.kernel = False
    found.admit(0, request(key, seed))
    return found


@pytest.mark.parametrize(("key", "seed"), KEYS)
@pytest.mark.parametrize("position", [0, 1, 129, 70_000])
def test_the_numbers_are_equal_bit_for_bit(key: str, seed: int, position: int) -> None:
    engine, ours = streams(key, seed), key_of(request(key, seed))
    assert ours == tuple(stream_key(request(key, seed)))
    for use in Use:
        for width in WIDTHS:
            positions = torch.tensor([[position]])
            theirs = engine.uniform(positions, Purpose(use), width=width)[0, 0].numpy()
            found = uniforms(ours, position, use, width=width)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, theirs)


def test_gumbel_noise_differs_by_no_more_than_rounding() -> None:
    engine, ours = streams("law/a#1", 3), key_of(request("law/a#1", 3))
    for position in range(40):
        theirs = engine.gumbel(torch.tensor([[position]]), Purpose.BONUS, width=3000)[0, 0].numpy()
        assert np.abs(gumbel(ours, position, Use.PLAIN, width=3000) - theirs).max() < 4e-6


def test_uses_are_the_purposes_of_the_decoder() -> None:
    assert [each.value for each in Use] == [each.value for each in Purpose]
    assert float(np.float32(LARGEST_UNIFORM)) == LARGEST_UNIFORM


def test_no_two_of_key_position_and_use_share_numbers() -> None:
    first = key_of(request("law/a#1", 0))
    tried = [
        uniforms(key_of(request(key, seed)), position, use, width=64)
        for key, seed in KEYS
        for position in (5, 6)
        for use in Use
    ]
    assert len({row.tobytes() for row in tried}) == len(tried)
    assert 0.4 < np.concatenate(tried).mean() < 0.6
    assert uniforms(first, 5, Use.COIN, width=1)[0] == uniforms(first, 5, Use.COIN, width=64)[0]
