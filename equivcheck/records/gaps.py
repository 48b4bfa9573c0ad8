"""How far emitted tokens lie under the reference's best: part of the records of near ties."""

from __future__ import annotations

from msgspec import Struct


class Gap(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """How far one emitted token lies under the reference's best, teacher-forced."""

    gap: float
    """Nats, >= 0: reference log-probability of its best token minus that of the emitted one."""
    best: int
    """The reference's best token."""
    magnitude: float | None = None
    """The larger absolute value of the two tokens' raw reference logits: says how coarse the dtype
    is there. None: unknown, and nothing near this token can be excused."""


class TextGaps(Struct, frozen=True, kw_only=True):
    """How far under the reference's best the tokens lie that can continue texts.

    Of answers of which only the text is known. Where no such token is among the best few, the gap
    is that of the last of these: it is wider in truth.
    """

    others: tuple[Gap, ...]
    """At each place of the shared prefix: of the best token that can continue either text, other
    than the one that stands there."""
    target: Gap
    """Where the arms part: of the best token that can continue the target's text."""
    arm: Gap
