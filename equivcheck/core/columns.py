"""Columns of answers' steps and scores, whether the answers are packed or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter, eq
from typing import cast

import numpy as np

from equivcheck.core.generation import Generation
from equivcheck.core.packed_sequences import Array, PackedScores
from equivcheck.core.packed_steps import PackedSteps

_counts = attrgetter("drafted", "accepted", "emitted")
_score = attrgetter("logprob", "rival_logprob")


def number_same(one: Sequence[int], other: Sequence[int]) -> int:
    """At how many indices two sequences of integers agree."""
    if one == other:
        return len(one)
    return sum(map(eq, one, other))


def steps_of(generations: Iterable[Generation]) -> Array:
    """[N, 3]: drafted, accepted and emitted of all steps of some answers, one after another."""
    parts = [step_counts(each) for each in generations]
    return np.concatenate(parts) if parts else np.zeros((0, 3), dtype=np.int64)


def step_counts(generation: Generation) -> Array:
    """[N, 3]: drafted, accepted and emitted of the steps of one answer."""
    steps = cast("object", generation.steps)
    if isinstance(steps, PackedSteps):
        return steps.counts
    return np.array([_counts(step) for step in generation.steps], dtype=np.int64).reshape(-1, 3)


def seconds_of(generation: Generation) -> Array:
    """[N]: seconds of the steps of one answer; NaN where a step has none."""
    steps = cast("object", generation.steps)
    if isinstance(steps, PackedSteps):
        return np.full(len(steps), np.nan) if steps.seconds is None else steps.seconds
    return np.array([step.seconds for step in generation.steps], dtype=np.float64)


def rejections_named(generation: Generation) -> Array:
    """[N]: whether each step of an answer names the draft that was rejected."""
    steps = cast("object", generation.steps)
    if not isinstance(steps, PackedSteps):
        return np.array([step.rejected is not None for step in generation.steps], dtype=np.bool_)
    if steps.rejected is None:
        return np.zeros(len(steps), dtype=np.bool_)
    return ~np.isnan(steps.rejected)


def logprobs_of(generation: Generation) -> Array:
    """[N, 2]: log-probabilities of each token and its rival; no row where there are no scores."""
    scores = cast("object", generation.scores)
    if isinstance(scores, PackedScores):
        return scores.logprobs
    told = [_score(score) for score in generation.scores or ()]
    return np.array(told, dtype=np.float64).reshape(-1, 2)
