"""The least time that a plain step can take: the bytes it has to read, over the bandwidth. Pure.

A decoding step multiplies each weight by few tokens, so that reading it takes longer than using it
(Pope et al. 2022, section 2). The bandwidth is that of a measured copy, not a data sheet's.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from equivcheck.core.generation import Generation
from equivcheck.metrics.speculation import ratio


class Floor(Struct, frozen=True, kw_only=True):
    """What a plain step has to read, and how long that takes."""

    bytes_per_step: float
    """Weights, and the keys and values of the mean context of every row."""
    seconds: float
    """Seconds of one step; at one row also of one token."""
    fraction: float | None
    """Fraction of the floor reached: floor over measured step; 1 is as fast as memory allows."""


def floor_of(
    *,
    weight_bytes: int | None,
    position_bytes: int | None,
    positions: float | None,
    bandwidth: float | None,
    step_seconds: float | None,
) -> Floor | None:
    """The floor of a step; None where a part of it is not known.

    Args:
        weight_bytes: Read once a step, however many rows there are.
        position_bytes: Keys and values of one position of one row.
        positions: Read in a step, over all rows.
        bandwidth: Bytes a second.
        step_seconds: Measured.
    """
    if weight_bytes is None or position_bytes is None or positions is None or not bandwidth:
        return None
    needed = weight_bytes + position_bytes * positions
    seconds = needed / bandwidth
    return Floor(
        bytes_per_step=needed,
        seconds=seconds,
        fraction=ratio(seconds, of=step_seconds) if step_seconds else None,
    )


def mean_context(answers: Sequence[Generation]) -> float | None:
    """Tokens before the one that a step is about to find, mean over all steps of all answers."""
    lengths: list[int] = []
    for answer in answers:
        length = answer.prompt_tokens
        for step in answer.steps:
            lengths.append(length)
            length += step.emitted
    return ratio(sum(lengths), of=len(lengths))
