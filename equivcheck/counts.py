"""The raw pair that every acceptance rate is made of."""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """What one prompt adds to a pooled acceptance rate."""

    drafted: int
    """Draft tokens put to the target."""
    accepted: int
    """Of these, accepted; the bonus token is not counted."""
