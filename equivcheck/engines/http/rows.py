"""What a server holds of given tokens: the log-probabilities that it tells in each place.

A server tells the best of a row and the given token, rarely the whole row. What it tells is before
penalties, temperature and cuts, or it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from equivcheck.core.errors import EngineError

MOST_MASS = 1e-4
"""By which probabilities may add up to more than 1: each is rounded in fp32."""
RULED_OUT = -9000.0
"""A log-probability from which downwards it stands for zero: JSON has no minus infinity."""

Place = Mapping[int, float]
"""Token to log-probability, in one place."""


class TokenRows(NamedTuple):
    """What is told of consecutive tokens, [tokens, most] each but `own`, best first."""

    ids: NDArray[np.int64]
    values: NDArray[np.float64]
    """Log-probabilities, or logits where `logits`; minus infinity where there is no token."""
    own: NDArray[np.float64]
    """Log-probabilities of the given tokens themselves, [tokens]."""
    whole: bool
    """Whether each row holds the whole vocabulary."""
    logits: bool
    """Whether the values are logits, which no sum normalises."""


class Greedy(NamedTuple):
    """What an engine decodes greedily, and its own log-probabilities of it."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def token_rows(
    places: Sequence[Place], tokens: Sequence[int], *, vocab: int, most: int
) -> TokenRows:
    """Put rows together. The given token is one of a row's only where it is among the best.

    Args:
        places: what the server tells, a place a token.
        tokens: the given ones.
        vocab: size of the vocabulary.
        most: how many of the best were asked for.

    Raises:
        EngineError: a given token or one of the best is missing, an id is outside the vocabulary,
            or the numbers are neither log-probabilities nor whole rows of logits.
    """
    whole = most >= vocab
    width = vocab if whole else most
    ids = np.zeros((len(places), width), np.int64)
    values = np.full((len(places), width), -math.inf)
    own = np.zeros(len(places))
    for at, (place, token) in enumerate(zip(places, tokens, strict=True)):
        if token not in place:
            raise EngineError(f"scores lack the token {token} that they are about")
        found = dict(place)
        own[at] = found[token]
        if len(found) == width + 1:
            del found[token]
        if len(found) != width:
            raise EngineError(f"{len(found)} of {width} log-probabilities in one place")
        row = np.fromiter(found, np.int64, width)
        told = np.fromiter(found.values(), np.float64, width)
        if not (row.min() >= 0 and row.max() < vocab):
            raise EngineError(f"scores name a token outside the vocabulary of {vocab}")
        if np.isnan(told).any() or (told == math.inf).any():
            raise EngineError("scores hold numbers that are none")
        order = np.argsort(-told, kind="stable")
        ids[at], values[at] = row[order], told[order]
    values[values <= RULED_OUT] = -math.inf
    with np.errstate(over="ignore"):
        mass = np.exp(values).sum(axis=1)
    logits = bool((np.abs(mass - 1.0) > MOST_MASS).any()) if whole else False
    if not whole and (mass > 1.0 + MOST_MASS).any():
        raise EngineError(
            "its scores are logits and not whole rows; start it so that they are "
            "log-probabilities (vLLM: --logprobs-mode raw_logprobs)"
        )
    return TokenRows(ids, values, own, whole, logits)
