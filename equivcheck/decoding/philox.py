"""Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): counter-based random bits on any device.

A counter instead of a state: the bits at (seed, request, position, purpose) are the same whatever
was drawn before, in whichever batch, slot or order. Words are 32-bit values held in int64.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

ROUNDS = 10
WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)


class Counter(NamedTuple):
    """128-bit counter as four words, each a tensor; all broadcast against each other."""

    word0: Tensor
    word1: Tensor
    word2: Tensor
    word3: Tensor


class Key(NamedTuple):
    """64-bit key as two words."""

    word0: Tensor
    word1: Tensor


def philox(counter: Counter, key: Key) -> Counter:
    """Scramble `counter` under `key`; returns four words of 32 random bits, as int64."""
    low0, low1, low2, low3 = counter
    key0, key1 = key
    for _ in range(ROUNDS):
        # The int64 product wraps, but its 64 bits are those of the unsigned product.
        product0, product1 = low0 * MULTIPLIERS[0], low2 * MULTIPLIERS[1]
        low0, low1, low2, low3 = (
            ((product1 >> 32) & WORD) ^ low1 ^ key0,
            product1 & WORD,
            ((product0 >> 32) & WORD) ^ low3 ^ key1,
            product0 & WORD,
        )
        key0, key1 = (key0 + WEYL[0]) & WORD, (key1 + WEYL[1]) & WORD
    return Counter(low0, low1, low2, low3)
