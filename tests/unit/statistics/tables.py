"""Makes score tables of a decoder whose distributions are known, right or wrong in a chosen way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.score_table import (
    BINS,
    CROSSING_GROUP,
    CROSSING_POSITIONS,
    PROBABILITY_EDGES,
    RATIO_EDGES,
    ScoreTable,
    Stage,
    Twin,
    Violation,
)

StepProbs: TypeAlias = NDArray[np.float64]
Distribution_: TypeAlias = Callable[[StepProbs, StepProbs], StepProbs]
VOCABULARY, LENGTH, CASES, GAMMA = 20, 16, 8, 4


def normalised(distributions: StepProbs) -> StepProbs:
    return np.asarray(distributions / distributions.sum(axis=1, keepdims=True))


def residual(p: StepProbs, q: StepProbs) -> StepProbs:
    return normalised(np.maximum(p - q, 1e-300))


def leak(share: float) -> Distribution_:
    return lambda p, q: (1 - share) * p + share * q


def temperature(value: float) -> Distribution_:
    return lambda p, q: normalised(p ** (1 / value))


def tilt(slope: float) -> Distribution_:
    return lambda p, q: normalised(p * np.exp(slope * np.clip(np.log(q / p), -1, 1)))


def lenience(value: float) -> Distribution_:
    def distribution(p: StepProbs, q: StepProbs) -> StepProbs:
        accepted = np.minimum(q, p / value)
        return np.asarray(accepted + (1 - accepted.sum(axis=1, keepdims=True)) * residual(p, q))

    return distribution


def recover_from_target(p: StepProbs, q: StepProbs) -> StepProbs:
    accepted = np.minimum(p, q)
    return np.asarray(accepted + (1 - accepted.sum(axis=1, keepdims=True)) * p)


def target(p: StepProbs, q: StepProbs) -> StepProbs:
    return p


LIBRARY: dict[str, Distribution_] = (
    {f"leak={share}": leak(share) for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.6, 1)}
    | {f"lenience={value}": lenience(value) for value in (0.98, 0.95, 0.9, 0.8, 0.6)}
    | {"recover-from-target": recover_from_target}
    | {f"temperature={value}": temperature(value) for value in (0.8, 0.9, 0.95, 1.05, 1.1, 1.2)}
    | {f"tilt={slope}": tilt(slope) for slope in (-0.3, -0.1, 0.1, 0.3)}
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoder:
    """A decoder by the rejection rule, with knobs for what it does wrong."""

    output: Distribution_ | None = None
    """Draw from this distribution, without stages, instead of by the rule."""
    accept: Callable[[StepProbs], StepProbs] = lambda odds: odds
    recover: Distribution_ = residual
    bonus: Distribution_ = target
    share_noise: bool = False
    """All outputs invert the same uniforms."""
    misread: float = 0.0
    """Nats between the distribution that drafts are drawn by and the q of the table."""
    repeat_noise: bool = False
    """Every token after an output's first re-uses its noise, where drawn by rank of q/p."""


def draw(distributions: StepProbs, noise: NDArray[np.float64]) -> NDArray[np.int64]:
    above = np.cumsum(distributions, axis=1) < noise[:, None] * distributions.sum(
        axis=1, keepdims=True
    )
    return np.asarray(np.minimum(above.sum(axis=1), distributions.shape[1] - 1), dtype=np.int64)


def bin_of(distribution: StepProbs, log_ratio: StepProbs) -> NDArray[np.uint8]:
    ratio = np.searchsorted(RATIO_EDGES, log_ratio, side="right")
    share = np.searchsorted(PROBABILITY_EDGES, distribution, side="right")
    return np.asarray(ratio * (len(PROBABILITY_EDGES) + 1) + share, dtype=np.uint8)


def bin_masses(distribution: StepProbs, bins: NDArray[np.uint8]) -> NDArray[np.float32]:
    mass = np.zeros((len(distribution), BINS))
    np.add.at(mass, (np.arange(len(distribution))[:, None], bins), distribution)
    return mass.astype(np.float32)


def transform(
    distribution: StepProbs, tokens: NDArray[np.int64], noise: NDArray[np.float64]
) -> StepProbs:
    rows = np.arange(len(distribution))
    below = np.cumsum(distribution, axis=1)[rows, tokens] - distribution[rows, tokens]
    return np.asarray(below + noise * distribution[rows, tokens])


def by_order(
    distribution: StepProbs, key: StepProbs, tokens: NDArray[np.int64], noise: StepProbs
) -> StepProbs:
    order = np.argsort(-key, axis=1)
    places = np.argsort(order, axis=1)[np.arange(len(distribution)), tokens]
    return transform(np.take_along_axis(distribution, order, axis=1), places, noise)


def make(decoder: Decoder, *, seed: int, rounds: int = 4, sharpness: float = 1.5) -> ScoreTable:
    """`rounds` draws of each of `CASES` cases, `LENGTH` tokens each."""
    random = np.random.default_rng(seed)
    outputs, rows = rounds * CASES, rounds * CASES * LENGTH
    logits = random.normal(scale=sharpness, size=(rows, VOCABULARY))
    p = normalised(np.exp(logits))
    q = normalised(np.exp(logits + random.normal(size=logits.shape)))
    log_ratio = np.log(q / p)
    every = np.arange(rows)
    noise = random.random(rows)
    if decoder.share_noise:
        noise = np.tile(noise[:LENGTH], outputs)
    stage = np.full(rows, Stage.UNKNOWN)
    own = q
    if decoder.misread:
        own = normalised(q * np.exp(random.normal(scale=decoder.misread, size=q.shape)))
    drafts, odds = draw(own, random.random(rows)), np.ones(rows)
    if decoder.output is not None or decoder.share_noise:
        tokens = draw((decoder.output or target)(p, q), noise)
    elif decoder.repeat_noise:
        order = np.argsort(-log_ratio, axis=1)
        held = np.repeat(random.random(outputs), LENGTH)
        places = draw(np.take_along_axis(p, order, axis=1), held)
        tokens = order[every, places]
    else:
        odds = np.minimum(1.0, p[every, drafts] / q[every, drafts])
        mine = np.minimum(1.0, p[every, drafts] / own[every, drafts])
        accepted = random.random(rows) < decoder.accept(mine)
        stage = np.where(accepted, Stage.ACCEPTED, Stage.RECOVERED)
        stage[every % (GAMMA + 1) == GAMMA] = Stage.BONUS
        recovered = draw(decoder.recover(p, own), noise)
        tokens = np.where(stage == Stage.ACCEPTED, drafts, recovered)
        tokens = np.where(stage == Stage.BONUS, draw(decoder.bonus(p, q), noise), tokens)
    left, bins, draft_bins = residual(p, q), bin_of(p, log_ratio), bin_of(q, log_ratio)
    left_bins = bin_of(left, log_ratio)
    chosen = p[every, tokens]
    wrong = [distribution(p, q)[every, tokens] for distribution in LIBRARY.values()]
    surely = (stage == Stage.RECOVERED) & (odds >= 1.0)
    stolen = (stage == Stage.RECOVERED) & (chosen <= q[every, tokens])
    violation = np.where(surely, Violation.REJECTED_SURE, Violation.NONE)
    violation = np.where(stolen & ~surely, Violation.RECOVERED_IMPOSSIBLE, violation)
    place = every % LENGTH
    crossing_mass, crossed = collisions(p, tokens)
    twin, twin_prob = twins(p, tokens)
    columns: dict[str, Any] = {
        "keys": tuple(f"code/{c}#{k + 1}" for k in range(rounds) for c in range(CASES)),
        "starts": np.arange(0, rows + 1, LENGTH),
        "alternatives": tuple(LIBRARY),
        "draft_distribution": "draft model",
        "support": np.zeros(rows, np.uint8),
        "log_ratio": np.log(np.stack(wrong, axis=1) / chosen[:, None]).astype(np.float32),
        "bin": bins[every, tokens],
        "bin_mass": bin_masses(p, bins),
        "pit_vocabulary": transform(p, tokens, random.random(rows)).astype(np.float32),
        "pit_rank": by_order(p, p, tokens, random.random(rows)).astype(np.float32),
        "pit_ratio": by_order(p, log_ratio, tokens, random.random(rows)).astype(np.float32),
        "surprisal": -np.log(chosen).astype(np.float32),
        "entropy": -(p * np.log(p)).sum(axis=1).astype(np.float32),
        "distance": (np.abs(p - q).sum(axis=1) / 2).astype(np.float32),
        "ends": (stage != Stage.ACCEPTED) | (place == LENGTH - 1),
        "stage": stage.astype(np.uint8),
        "draft_bin": draft_bins[every, drafts],
        "draft_mass": bin_masses(q, draft_bins),
        "accept_prob": odds.astype(np.float32),
        "recovered_bin": left_bins[every, tokens],
        "recovered_mass": bin_masses(left, left_bins),
        "rejected_class": np.searchsorted(PROBABILITY_EDGES, q[every, drafts]).astype(np.uint8),
        "violation": violation.astype(np.uint8),
        "crossing_mass": crossing_mass,
        "crossed": crossed,
        "twin": twin,
        "twin_prob": twin_prob,
    }
    return ScoreTable(**columns)


def mixed(good: ScoreTable, bad: ScoreTable, *, wrong: NDArray[np.bool_]) -> ScoreTable:
    """The rows of one table, where they are wrong those of another, [rows]."""
    columns: dict[str, Any] = {
        field.name: np.where(
            wrong.reshape(-1, *[1] * (getattr(good, field.name).ndim - 1)),
            getattr(bad, field.name),
            getattr(good, field.name),
        )
        for field in dataclasses.fields(good)
        if field.name not in ("keys", "starts", "alternatives", "draft_distribution", "replays")
    }
    return dataclasses.replace(good, **columns)


def collisions(
    p: StepProbs, tokens: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    mass = np.full(len(p), np.nan, np.float32)
    crossed = np.zeros(len(p), bool)
    for row in range(len(p)):
        output, place = divmod(row, LENGTH)
        first = output - output % CROSSING_GROUP
        if place < CROSSING_POSITIONS and output > first:
            earlier = np.unique(tokens[first * LENGTH + place : row : LENGTH])
            mass[row], crossed[row] = p[row, earlier].sum(), tokens[row] in earlier
    return mass, crossed


def twins(p: StepProbs, tokens: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    twin, chance = np.zeros(len(p), np.uint8), np.zeros(len(p), np.float32)
    for start in range(CASES * LENGTH, len(p), LENGTH):
        for row in range(start, start + LENGTH):
            other = tokens[row - CASES * LENGTH]
            chance[row] = p[row, other]
            twin[row] = Twin.EQUAL if tokens[row] == other else Twin.DIFFERENT
            if twin[row] == Twin.DIFFERENT:
                break
    return twin, chance
