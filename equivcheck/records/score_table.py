"""The scores of sampled outputs: what every emitted token says about its distribution.

One row a token. Scoring reduces each pair of distributions, the target's `p` and the draft's `q`,
to these columns on the device, so that judging needs numbers only and no model. Written and read by
`score_table_file.py`.
"""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from equivcheck.records.replays import Replays

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
    Flags = NDArray[np.bool_]

RATIO_EDGES = (-2.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0)
"""Borders of the bins of ln(q/p): 10 bins."""
PROBABILITY_EDGES = (0.03, 0.3)
"""Borders of the bins of the tested distribution's own probability: 3 bins."""
BINS = (len(RATIO_EDGES) + 1) * (len(PROBABILITY_EDGES) + 1)
"""A token's bin is ``3 * ratio_bin + probability_bin``."""
REJECTED_EDGES = (0.03, 0.3)
"""Borders of the classes of a rejected draft's q."""
CROSSING_POSITIONS = 8
"""Output positions, from the first, on which requests are compared with each other."""
CROSSING_GROUP = 32
"""So many requests in a row are compared with each other."""

LOOKUP_DRAFTS = "prompt lookup"
"""The draft distribution of an engine that copies drafts from the text: q is 1 on each draft."""
ONE_HOT_DRAFTS = "one-hot"
"""The draft distribution of an engine whose drafts are certain: q is 1 on the named draft."""

ALTERNATIVES = (
    *(f"leak={share}" for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.6, 1)),
    *(f"lenience={value}" for value in (0.98, 0.95, 0.9, 0.8, 0.6)),
    "recover-from-target",
    "cut-one-short",
    *(f"temperature={value}" for value in (0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2)),
    *(f"tilt={slope}" for slope in (-0.3, -0.1, -0.03, 0.03, 0.1, 0.3)),
)
"""Names of the wrong distributions that scoring knows, read by `statistics.alternatives`."""


class Support(IntEnum):
    """Whether a token could be drawn at all."""

    INSIDE = 0
    BORDER = 1
    """Cut by top-k, top-p or min-p, but inside a slightly wider cut: arithmetic may do that."""
    OUTSIDE = 2
    TIED = 3
    """The border of the cut lies between tokens that tie exactly: which of them stay is a
    convention, so the token is not judged."""
    UNKNOWN = 4
    """Who scores could not tell the distribution here: not judged. Where it gives only some of a
    row, whether a row is judged may depend on what stands before the token, or leave out tokens
    beyond a set that does, and then the rest is judged by the distribution within that set."""


class Stage(IntEnum):
    """Which stage of the engine's rule a token came from."""

    UNKNOWN = 0
    ACCEPTED = 1
    RECOVERED = 2
    """Drawn from the residual, in the place of a rejected draft."""
    BONUS = 3
    """Drawn from the target with no draft in its place."""


class Violation(IntEnum):
    """What no rule with stages can ever do. In a block that is judged as a whole p stands for what
    accepted drafts carry of it (`scoring/carried.py`)."""

    NONE = 0
    REJECTED_SURE = 1
    """A draft with p >= q was rejected."""
    RECOVERED_IMPOSSIBLE = 2
    """A token with p <= q was drawn from the residual."""
    DRAFTED_IMPOSSIBLE = 3
    """A token with q = 0 was drafted."""


class Twin(IntEnum):
    """A token against the one at its position in the last output for the same prompt."""

    NONE = 0
    """No such output, or the two have parted before."""
    EQUAL = 1
    DIFFERENT = 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """Scores of outputs in the order in which they were asked for. N rows, one a token."""

    keys: tuple[str, ...]
    """Request key of each output."""
    starts: NDArray[np.int64]
    """[outputs + 1]: rows ``starts[i]`` to ``starts[i + 1]`` are output i's."""
    alternatives: tuple[str, ...]
    """Names of the wrong distributions r_k, in the order of the columns of `log_ratio`."""
    draft_distribution: str
    """Where q is from: ``draft model``, ``prompt lookup``, ``one-hot``, ``shadow ...``."""
    support: Bytes
    """`Support`."""
    log_ratio: Floats
    """[N, K]: ln r_k(x) - ln p(x), -inf where r_k rules x out; 0 where support is not INSIDE."""
    bin: Bytes
    """Bin of x by ln(q/p) and p."""
    bin_mass: Floats
    """[N, BINS]: probability of each bin under p; sums to 1."""
    pit_vocabulary: Floats
    """Randomised probability integral transform of x under p, tokens ordered by id."""
    pit_rank: Floats
    """The same, tokens ordered by falling p."""
    pit_ratio: Floats
    """The same, tokens ordered by falling q/p."""
    surprisal: Floats
    """-ln p(x), nats."""
    entropy: Floats
    """Entropy of p, nats."""
    distance: Floats
    """Total variation distance of p and q."""
    ends: Flags
    """Last token of a verify step or of an output: where a test may be evaluated."""
    stage: Bytes
    """`Stage`; UNKNOWN where the engine gives no trace, or its rule's stages are not known."""
    draft_bin: Bytes
    """Bin of the draft in this place by ln(q/p) and q, where stage is ACCEPTED or RECOVERED."""
    draft_mass: Floats
    """[N, BINS]: under the draft's distribution there, q token by token (`scoring/stages.py`)."""
    accept_prob: Floats
    """Probability that the draft in this place is accepted: min(1, p(d)/q(d)) token by token."""
    recovered_bin: Bytes
    """Bin of x by ln(q/p) and its residual probability, where stage is RECOVERED."""
    recovered_mass: Floats
    """[N, BINS]: under the residual, max(p - q, 0) normalised, p being carried in a block."""
    rejected_class: Bytes
    """Class of the rejected draft's q by `REJECTED_EDGES`, 0 to 2."""
    violation: Bytes
    """`Violation`."""
    crossing_mass: Floats
    """p of the tokens that earlier requests of the same group of `CROSSING_GROUP` emitted at this
    position; NaN beyond `CROSSING_POSITIONS` and for a group's first request."""
    crossed: Flags
    """Whether x is one of these tokens."""
    twin: Bytes
    """`Twin`."""
    twin_prob: Floats
    """p of the twin's token, where there is one."""
    replays: Replays | None = None
    """Which token had to come in each row; None where the noise is not known."""

    @property
    def rows(self) -> int:
        """Number of tokens."""
        return len(self.support)


WIDE = ("bin_mass", "draft_mass", "recovered_mass")
"""Columns of `BINS` numbers a row. `log_ratio` has one for each alternative, all others one."""


def _of_type(name: str) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(ScoreTable) if each.type == name)


CODES = _of_type("Bytes")
NUMBERS = _of_type("Floats")
FLAGS = _of_type("Flags")
