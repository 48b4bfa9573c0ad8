"""Wrong distributions by name: reads ``kind=value`` as scoring writes it. Computes none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

NEUTRAL = {"leak": 0.0, "lenience": 1.0, "temperature": 1.0, "tilt": 0.0}
"""Kind with a parameter, to the value at which its distribution is the target's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alternative:
    """One column of `ScoreTable.log_ratio`."""

    name: str
    kind: str
    value: float | None
    """None for a distribution without a parameter."""

    @property
    def departure(self) -> float | None:
        """How far the value lies from the target's own, with its sign; None without a scale."""
        if self.value is None or self.kind not in NEUTRAL:
            return None
        # Rounded, so that 1.05 - 1 and .95 - 1 are the same distance.
        return round(self.value - NEUTRAL[self.kind], 9)


def parse(name: str) -> Alternative:
    """Take a name apart.

    Raises:
        ValueError: what follows ``=`` is no number, or a kind with a parameter lacks it.
    """
    kind, equals, text = name.partition("=")
    if not equals:
        if kind in NEUTRAL:
            raise ValueError(f"alternative {name!r} lacks its value, as in {kind}=0.5")
        return Alternative(name=name, kind=kind, value=None)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"alternative {name!r}: {text!r} is not a number") from None
    return Alternative(name=name, kind=kind, value=value)


def parse_all(names: Iterable[str]) -> tuple[Alternative, ...]:
    """Take all columns' names apart, in order. Raises as `parse` does."""
    return tuple(parse(name) for name in names)
