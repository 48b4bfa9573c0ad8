"""Tokens that the gate itself takes, replicated by taking whole outputs in other orders."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.score_table import ScoreTable, Support, Twin, Violation
from equivcheck.statistics.battery import evaluate

ALPHA = 1e-4
PER_OUTPUT = ("keys", "starts", "alternatives", "draft_distribution", "replays")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Times:
    """Tokens to detection: None where the table ended before."""

    gate: int | None
    """By an impossible event or the e-process."""
    wealth: int | None
    """By the e-process alone."""
    part: str | None
    """The part or stage that was highest."""


def taken(scores: ScoreTable, outputs: NDArray[np.int64]) -> ScoreTable:
    """Some outputs in some order."""
    lengths = np.diff(scores.starts)[outputs]
    rows = np.concatenate([np.arange(scores.starts[o], scores.starts[o + 1]) for o in outputs])
    columns: dict[str, Any] = {
        field.name: getattr(scores, field.name)[rows]
        for field in dataclasses.fields(scores)
        if field.name not in PER_OUTPUT
    }
    return dataclasses.replace(
        scores,
        keys=tuple(scores.keys[output] for output in outputs),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        **columns,
    )


def alone(scores: ScoreTable) -> ScoreTable:
    """Without what depends on the outputs before: the crossing test bets on nothing then."""
    return dataclasses.replace(
        scores,
        pit_vocabulary=np.zeros_like(scores.pit_vocabulary),
        crossing_mass=np.full_like(scores.crossing_mass, np.nan),
        twin=np.full_like(scores.twin, Twin.NONE),
    )


def begun(scores: ScoreTable, outputs: int) -> ScoreTable:
    """Without twins in the first outputs, which have none before them."""
    twin = scores.twin.copy()
    twin[: scores.starts[min(outputs, len(scores.keys))]] = Twin.NONE
    return dataclasses.replace(scores, twin=twin)


def times(scores: ScoreTable, *, stages: bool = True) -> Times:
    """Run the battery over a table."""
    found = evaluate(scores, alpha=ALPHA, alpha_pass=1e-3, stages=stages)
    impossible = scores.support == Support.OUTSIDE
    if stages:
        impossible = impossible | (scores.violation != Violation.NONE)
    event = int(impossible.argmax()) + 1 if impossible.any() else None
    known = [time for time in (event, found.failed_after) if time is not None]
    peaks = {**found.parts, **{f"stages/{name}": peak for name, peak in found.stages.items()}}
    peaks.pop("stages", None)
    part = max(peaks, key=lambda name: peaks[name].highest) if found.failed_after else None
    if event is not None and event == min(known):
        part = "impossible"
    return Times(gate=min(known, default=None), wealth=found.failed_after, part=part)


def replicated(
    scores: ScoreTable, *, replicates: int, first: int, stages: bool, whole_rounds: int, seed: int
) -> list[Times]:
    """The gate over random orders of the outputs.

    Args:
        scores: the pool.
        replicates: orders tried.
        first: tokens looked at first; doubled until the e-process fails or the pool is empty.
        stages: whether the trace is used.
        whole_rounds: outputs of a round, if rounds are to stay as they are, for faults that only
            outputs side by side show; 0 takes single outputs, without the crossing test.
        seed: of the orders.
    """
    random = np.random.default_rng(seed)
    pool = scores if whole_rounds else alone(scores)
    each = whole_rounds or 1
    found = []
    for _ in range(replicates):
        blocks = random.permutation(len(scores.keys) // each)
        order = (blocks[:, None] * each + np.arange(each)).ravel()
        length = scores.rows / len(scores.keys)
        outputs = int(np.ceil(first / length))
        while True:
            time = times(begun(taken(pool, order[:outputs]), whole_rounds), stages=stages)
            if time.wealth is not None or outputs >= len(order):
                break
            outputs *= 2
        found.append(time)
    return found


def quantile(values: list[int | None], share: float) -> int | None:
    """Order statistic; None where it lies beyond the pool."""
    ordered = sorted(np.inf if value is None else value for value in values)
    value = ordered[min(len(ordered) - 1, int(np.ceil(share * len(ordered))) - 1)]
    return None if np.isinf(value) else int(value)
