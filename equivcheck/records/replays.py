"""Replays of sampled tokens: the token that rule, distributions and the engine's noise demand."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

NO_TOKEN = -1
PREFIX = "replay_"
"""Begins the names of these columns in the file of scores."""
KINDS = {
    "came": "uint8",
    "finely": "uint8",
    "off": "float32",
    "rests_on": "uint8",
    "token": "int32",
    "gap": "float32",
    "slack": "float32",
}


class Came(IntEnum):
    """What came of replaying one token."""

    NOT_REPLAYED = 0
    AS_IT_MUST = 1
    TIE_KEPT = 2
    """A near tie, which arithmetic may decide either way: it fell as in the replay."""
    TIE_FLIPPED = 3
    """A near tie that fell the other way: excused, and counted."""
    OTHER_COIN = 4
    """A draft was accepted that had to be rejected, or the other way round; or a block of them."""
    OTHER_TOKEN = 5
    """Another token had to be drawn."""
    OTHER_WEIGHT = 6
    """The token in the place of a rejected draft was drawn by another weight than the rule's."""


class RestsOn(IntEnum):
    """What a token's replay needs to know."""

    NOTHING = 0
    """There is no telling which draw of the rule it came from."""
    P = 1
    """p alone."""
    Q = 2
    """q, which is the engine's own: one-hot, or ln q of the draft is what the engine told."""
    OTHER_Q = 3
    """q, and the engine told another one."""
    UNTOLD_Q = 4
    """q, of which the engine told nothing."""
    CUT_Q = 5
    """q, and the engine told one that a cut would give which arithmetic may have moved."""
    BLOCK = 6
    """Distributions behind drafts that are not in the output: an accepted draft of a block that is
    judged as a whole."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Replays:
    """Replays of the rows of a `ScoreTable`, [N] each."""

    came: NDArray[np.uint8]
    """`Came`, where most is excused."""
    finely: NDArray[np.uint8]
    """`Came`, where no more is excused than arithmetic of the usual quality needs."""
    off: NDArray[np.float32]
    """How far the told ln q lies from the scorer's, over what `finely` excuses; 0: none told."""
    rests_on: NDArray[np.uint8]
    """`RestsOn`."""
    token: NDArray[np.int32]
    """The token that had to be drawn; `NO_TOKEN` where none was, or where the coin decided."""
    gap: NDArray[np.float32]
    """Nats that the decision is away from the one that came; 0 where it came as it must."""
    slack: NDArray[np.float32]
    """Nats by which arithmetic may have moved a log-probability, where most is excused."""


def nothing_replayed(rows: int) -> Replays:
    """No token of so many is replayed."""
    import numpy as np

    columns = {name: np.zeros(rows, kind) for name, kind in KINDS.items()}
    columns["token"][:] = NO_TOKEN
    return Replays(**columns)


def joined(parts: Sequence[Replays]) -> Replays:
    """Replays of consecutive tables."""
    import numpy as np

    return Replays(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in KINDS}
    )


def as_columns(replays: Replays) -> dict[str, NDArray[Any]]:
    """The columns under the names that they have in a file."""
    return {PREFIX + name: getattr(replays, name) for name in KINDS}


def taken_out(columns: dict[str, NDArray[Any]]) -> Replays | None:
    """Take the columns of replays, if there are any, out of those of a file.

    Raises:
        ValueError: one is missing, of another kind, or not as long as the others; names it.
    """
    if not any(PREFIX + name in columns for name in KINDS):
        return None
    found: dict[str, NDArray[Any]] = {}
    for name, kind in KINDS.items():
        values = columns.pop(PREFIX + name, None)
        if values is None or values.dtype != kind or values.ndim != 1:
            raise ValueError(f"column {PREFIX}{name} is missing, or no row of {kind}")
        found[name] = values
        if len(values) != len(found["came"]):
            raise ValueError(f"column {PREFIX}{name} is not as long as {PREFIX}came")
    return Replays(**found)
