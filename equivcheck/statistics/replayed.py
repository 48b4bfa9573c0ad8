"""What the replays of a table's tokens amount to. No probability but for near ties.

A token that had to be another one refutes the engine by itself: a lossless one that draws from the
stream it names cannot emit it. What rests on q counts only where q is the engine's own.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.replays import Came, Replays, RestsOn
from equivcheck.records.score_table import ScoreTable

TIES_ALPHA = 1e-3
"""Chance at most of doubting an engine whose near ties fall either way."""
FINELY_FROM = 100
"""Drafts of which the engine has to have told q before arithmetic counts as measured."""
BORNE_OUT_FROM = 0.99
"""Share of what was told of q that has to be as fine as measured arithmetic is."""
FINE_SHARE = 0.25
"""How much of what `finely` excuses the measured arithmetic may use up: the target's, which was
not measured, may then be four times coarser than the draft's."""
LEFT_OUT = {
    RestsOn.NOTHING: "no step says which draw of the rule they came from",
    RestsOn.UNTOLD_Q: "they rest on q, of which the engine tells nothing",
    RestsOn.CUT_Q: "they rest on q, whose cut falls where arithmetic decides",
    RestsOn.BLOCK: "they were accepted for what a whole block is, rejected drafts included",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wrong:
    """A token that could not come."""

    key: str
    """Request key of the output."""
    position: int
    """Token of the output, from 0."""
    row: int
    came: Came
    rests_on: RestsOn
    expected: int
    """The token that had to come, where one was drawn."""
    gap: float
    """Nats between the two decisions; infinite where the token could not come at all."""
    slack: float
    """Nats by which arithmetic may have moved a log-probability."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayCounts:
    """All replays of a table."""

    tokens: int
    replayed: int
    ties: int
    """Near ties among the replayed."""
    flipped: int
    """Near ties that fell the other way."""
    about_q: int
    """Those among the replayed that rest on q, too."""
    coins_wrong: int
    """Drafts that were accepted or rejected against their coin."""
    tokens_wrong: int
    """Tokens that another one had to be drawn in place of."""
    weights_wrong: int
    """Replacements of drafts that were drawn by another weight than p - q."""
    first: Wrong | None
    left_out: dict[str, int]
    """Why tokens were not replayed, to how many."""
    finely: bool
    """Whether the engine's arithmetic was measured and found fine."""

    @property
    def wrong(self) -> int:
        """Tokens that could not come, or not by the weight that they came by."""
        return self.coins_wrong + self.tokens_wrong + self.weights_wrong

    @property
    def ties_allowed(self) -> int:
        """Most near ties that may fall the other way: each does so with one half at most."""
        from scipy.special import bdtrc

        count = self.ties // 2
        while bdtrc(count, self.ties, 0.5) > TIES_ALPHA:
            count += 1
        return count


def replayed(scores: ScoreTable, *, void: bool) -> ReplayCounts | None:
    """Count; None where the noise is not known.

    Args:
        scores: of all draws so far.
        void: whether the drafts contradict q, which counts unless the engine's word bears q out.
    """
    found = scores.replays
    if found is None:
        return None
    rests_on = found.rests_on
    finely = measured(found)
    # Drafts that do not fit the q that the engine itself tells were not drawn or judged as it says.
    void = (void and not borne_out(found)) or bool((rests_on == RestsOn.OTHER_Q).any())
    counts = rests_on == RestsOn.P
    if not void:
        counts |= rests_on == RestsOn.Q
    came = np.where(counts, found.finely if finely else found.came, Came.NOT_REPLAYED)
    wrong = np.flatnonzero(came >= Came.OTHER_COIN)
    return ReplayCounts(
        tokens=scores.rows,
        replayed=int(counts.sum()),
        ties=int(np.isin(came, (Came.TIE_KEPT, Came.TIE_FLIPPED)).sum()),
        flipped=int((came == Came.TIE_FLIPPED).sum()),
        about_q=int((counts & (rests_on == RestsOn.Q)).sum()),
        coins_wrong=int((came == Came.OTHER_COIN).sum()),
        tokens_wrong=int((came == Came.OTHER_TOKEN).sum()),
        weights_wrong=int((came == Came.OTHER_WEIGHT).sum()),
        first=first_wrong(scores, found, came, int(wrong[0])) if len(wrong) else None,
        left_out=left_out(rests_on, void=void),
        finely=finely,
    )


def measured(found: Replays) -> bool:
    """Whether what the engine told of q shows its arithmetic to be fine everywhere."""
    off = told(found)
    return len(off) >= FINELY_FROM and bool(off.max() <= FINE_SHARE)


def borne_out(found: Replays) -> bool:
    """Whether what the engine told of q is q, but for few places where arithmetic is coarse."""
    off = told(found)
    return len(off) >= FINELY_FROM and bool((off <= FINE_SHARE).mean() >= BORNE_OUT_FROM)


def told(found: Replays) -> NDArray[np.float32]:
    """How far what the engine told of q is off, in fine tolerances."""
    off: NDArray[np.float32] = found.off[(found.rests_on == RestsOn.Q) & (found.off > 0)]
    return off


def left_out(rests_on: NDArray[np.uint8], *, void: bool) -> dict[str, int]:
    """Why tokens were not replayed, to how many."""
    counts = {why: int((rests_on == code).sum()) for code, why in LEFT_OUT.items()}
    if void:
        about_q = np.isin(rests_on, (RestsOn.Q, RestsOn.OTHER_Q))
        counts["they rest on q, and the drafter's is another one"] = int(about_q.sum())
    return {why: count for why, count in counts.items() if count}


def first_wrong(scores: ScoreTable, found: Replays, came: NDArray[np.uint8], row: int) -> Wrong:
    """Say where a wrong token stands."""
    output = int(np.searchsorted(scores.starts[:-1], row, side="right")) - 1
    gap = float(found.gap[row])
    return Wrong(
        key=scores.keys[output],
        position=row - int(scores.starts[output]),
        row=row,
        came=Came(int(came[row])),
        rests_on=RestsOn(int(found.rests_on[row])),
        expected=int(found.token[row]),
        gap=gap if math.isfinite(gap) and gap < 1e6 else math.inf,
        slack=float(found.slack[row]),
    )
