"""The random stream `PHILOX_STREAM`, written a second time from its definition in docs/decoder.md.

`decoding/streams.py` is the other implementation, on tensors; they share no code. Philox4x32-10 is
Salmon, Moraes, Dror and Shaw 2011.
"""

from __future__ import annotations

import enum
import hashlib
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from equivcheck.core.generation import Request

Words: TypeAlias = NDArray[np.uint64]
"""32-bit words in 64 bits, so that products do not overflow."""

LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
LARGEST = np.float32(1.0 - 2.0**-24)


class Use(enum.IntEnum):
    """What a number is for: the third word of the counter."""

    SHARED = 0
    """A token under the coupled rule."""
    DRAFT = 1
    COIN = 2
    """Whether a draft is accepted."""
    RESIDUAL = 3
    """The token in the place of a rejected draft."""
    PLAIN = 4
    """A token with no draft in its place."""


class NoiseKey(NamedTuple):
    """Whose numbers: the request's seed, and two words of the hash of its key."""

    seed: int
    low: int
    high: int


def key_of(request: Request) -> NoiseKey:
    """The stream of a request."""
    digest = hashlib.sha256(request.key.encode()).digest()
    low, high = np.frombuffer(digest[:8], dtype="<u4").tolist()
    return NoiseKey(request.seed % 2**32, low, high)


def uniforms(key: NoiseKey, position: int, use: Use, *, width: int) -> NDArray[np.float32]:
    """Numbers in (0, 1), [width], each exactly as the stream defines it.

    Args:
        key: whose.
        position: of the token in its sequence, the prompt's tokens counted, from 0.
        use: what for.
        width: how many; number v decides about token v.
    """
    counter = np.zeros((4, -(-width // 4)), np.uint64)
    counter[0] = np.arange(counter.shape[1])
    counter[1:] = np.array([[position], [use], [key.high]], np.uint64)
    words = scrambled(counter, (key.seed, key.low)).T.reshape(-1)[:width]
    # By way of signed integers, which are rounded to the nearest fp32 in one go.
    numbers = words.astype(np.int64).astype(np.float32)
    uniform: NDArray[np.float32] = (numbers + np.float32(0.5)) * np.float32(2.0**-32)
    return np.minimum(uniform, LARGEST, out=uniform)


def gumbel(key: NoiseKey, position: int, use: Use, *, width: int) -> NDArray[np.float64]:
    """Standard Gumbel noise, [width]: -ln(-ln(1 - u)) of the stream's numbers, in fp64."""
    numbers = uniforms(key, position, use, width=width).astype(np.float64)
    return np.asarray(-np.log(-np.log1p(-numbers)))


def scrambled(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10 of counters [4, n] under a key of two words."""
    first, second, third, fourth = counter
    keys = list(key)
    for _ in range(10):
        left, right = first * np.uint64(0xD2511F53), third * np.uint64(0xCD9E8D57)
        first, second, third, fourth = (
            (right >> HALF) ^ second ^ np.uint64(keys[0]),
            right & LOW,
            (left >> HALF) ^ fourth ^ np.uint64(keys[1]),
            left & LOW,
        )
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return np.stack([first, second, third, fourth])
