"""Every column against a naive recomputation in fp64, with all distributions written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from equivcheck.core.cases import Sampling
from equivcheck.records.score_table import (
    ALTERNATIVES,
    BINS,
    PROBABILITY_EDGES,
    RATIO_EDGES,
    REJECTED_EDGES,
    Stage,
    Support,
    Violation,
)
from equivcheck.scoring.columns import ScoredRows, columns
from equivcheck.scoring.distributions import point_mass, sampling_distribution
from equivcheck.scoring.trace import NOTHING

Numbers = NDArray[np.float64]
VOCAB, ROWS, SLACK = 40, 60, 1e-3
SAMPLINGS = {
    "plain": Sampling(temperature=1.0),
    "sharp": Sampling(temperature=0.6),
    "top-k": Sampling(temperature=1.0, top_k=7),
    "top-p": Sampling(temperature=1.0, top_p=0.8),
    "min-p": Sampling(temperature=1.3, min_p=0.1),
    "all": Sampling(temperature=0.9, top_k=12, top_p=0.9, min_p=0.02),
}


def naive_probs(logits: Numbers, sampling: Sampling) -> Numbers:
    """One row by the words of `cases.Sampling`."""
    distribution = np.exp(logits / sampling.temperature)
    distribution /= distribution.sum()
    order = sorted(range(len(distribution)), key=lambda token: (-distribution[token], token))
    if sampling.top_k:
        order = order[: sampling.top_k]
    mass, kept = 0.0, []
    for token in order:
        if mass < sampling.top_p * distribution[order].sum():
            kept.append(token)
        mass += distribution[token]
    kept = [
        token for token in kept if distribution[token] >= sampling.min_p * distribution[order[0]]
    ]
    return np.array(
        [
            distribution[t] / distribution[kept].sum() if t in kept else 0.0
            for t in range(len(distribution))
        ]
    )


def naive_alternative(name: str, p: Numbers, q: Numbers) -> Numbers:
    """The full distribution of a wrong decoder."""
    kind, _, text = name.partition("=")
    value = float(text or 0)
    left = np.maximum(p - q, 0.0)
    residual = left / left.sum() if left.sum() > 0 else p
    if kind == "leak":
        return np.asarray((1 - value) * p + value * q)
    if kind == "lenience":
        accepted = np.minimum(q, p / value)
        return np.asarray(accepted + (1 - accepted.sum()) * residual)
    if kind == "recover-from-target":
        accepted = np.minimum(q, p)
        return np.asarray(accepted + (1 - accepted.sum()) * p)
    if kind == "cut-one-short":
        kept = np.where(p > 0, p, np.inf)
        distribution = (
            np.where(np.arange(len(p)) == kept.argmin(), 0.0, p) if (p > 0).sum() > 1 else p
        )
    elif kind == "temperature":
        distribution = p ** (1 / value)
    else:
        assert kind == "tilt"
        distribution = p * np.exp(value * np.clip(log_ratio(p, q), -1, 1))
    return np.asarray(distribution / distribution.sum())


def log_ratio(p: Numbers, q: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((p == 0) & (q == 0), 0.0, np.log(q) - np.log(p))


def naive_bins(distribution: Numbers, p: Numbers, q: Numbers) -> NDArray[np.int64]:
    ratio = np.searchsorted(RATIO_EDGES, log_ratio(p, q), side="right")
    return np.asarray(3 * ratio + np.searchsorted(PROBABILITY_EDGES, distribution, side="right"))


def masses(distribution: Numbers, bins: NDArray[np.int64]) -> Numbers:
    return np.asarray(np.bincount(bins, distribution, minlength=BINS), dtype=np.float64)


def transform(p: Numbers, order: list[int], token: int, noise: float) -> float:
    before = order[: order.index(token)]
    return float(p[before].sum() + noise * p[token])


def naive_row(p: Numbers, q: Numbers, row: dict[str, Any]) -> dict[str, Any]:
    """All columns of one token that lies inside the support."""
    x, d, stage, noise = row["token"], row["draft"], row["stage"], row["noise"]
    tokens = range(len(p))
    ratio = log_ratio(p, q)
    left = np.maximum(p - q, 0.0)
    left = left / left.sum() if left.sum() else left
    with np.errstate(divide="ignore"):
        ratios = [np.log(naive_alternative(name, p, q)[x] / p[x]) for name in ALTERNATIVES]
        entropy = -sum(each * np.log(each) for each in p if each > 0)
    found: dict[str, Any] = {
        "support": Support.INSIDE,
        "log_ratio": ratios,
        "bin": naive_bins(p, p, q)[x],
        "bin_mass": masses(p, naive_bins(p, p, q)),
        "pit_vocabulary": transform(p, [*tokens], x, noise[0]),
        "pit_rank": transform(p, sorted(tokens, key=lambda t: (-p[t], t)), x, noise[1]),
        "pit_ratio": transform(p, sorted(tokens, key=lambda t: (-ratio[t], t)), x, noise[2]),
        "surprisal": -np.log(p[x]),
        "entropy": entropy,
        "distance": np.abs(p - q).sum() / 2,
        "crossing_mass": p[[t for t in row["earlier"] if t != NOTHING]].sum(),
        "twin_prob": p[row["twin_token"]],
        "stage": stage,
        "draft_bin": 0,
        "draft_mass": np.zeros(BINS),
        "accept_prob": 0.0,
        "recovered_bin": 0,
        "recovered_mass": np.zeros(BINS),
        "rejected_class": 0,
        "violation": Violation.NONE,
    }
    if stage in (Stage.ACCEPTED, Stage.RECOVERED):
        found["draft_bin"] = naive_bins(q, p, q)[d]
        found["draft_mass"] = masses(q, naive_bins(q, p, q))
        found["accept_prob"] = min(1.0, p[d] / q[d])
    if stage == Stage.RECOVERED:
        found["recovered_bin"] = naive_bins(left, p, q)[x]
        found["recovered_mass"] = masses(left, naive_bins(left, p, q))
        found["rejected_class"] = int(np.searchsorted(REJECTED_EDGES, q[d]))
    return found


def drawn_by_the_rule(
    p: Numbers, q: Numbers, random: np.random.Generator, *, bonus: bool
) -> dict[str, Any]:
    """A token by the rejection rule, and what else is known of its place."""
    draft = int(random.choice(len(q), p=q))
    stage, token = Stage.ACCEPTED, draft
    if bonus:
        stage, token, draft = Stage.BONUS, int(random.choice(len(p), p=p)), NOTHING
    elif random.random() >= p[draft] / q[draft]:
        left = np.maximum(p - q, 0.0)
        stage, token = Stage.RECOVERED, int(random.choice(len(p), p=left / left.sum()))
    return {
        "token": token,
        "stage": stage,
        "draft": draft,
        "noise": random.random(3),
        "earlier": [3, 8, NOTHING],
        "twin_token": int(random.integers(len(p))),
    }


def as_drawn(rows: list[dict[str, Any]]) -> ScoredRows:
    columns = {name: np.array([row[name] for row in rows]) for name in ScoredRows._fields}
    columns["stage"] = columns["stage"].astype(np.uint8)
    return ScoredRows(**{name: torch.from_numpy(values) for name, values in columns.items()})


@pytest.mark.parametrize("drafter", ["model", "lookup"])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_every_column_is_its_definition(sampling: Sampling, drafter: str) -> None:
    random = np.random.default_rng(7)
    logits = random.normal(scale=2.0, size=(ROWS, VOCAB)).astype(np.float32)
    blurred = (logits + random.normal(scale=0.8, size=logits.shape)).astype(np.float32)
    target = sampling_distribution(torch.from_numpy(logits), sampling)
    draft = sampling_distribution(torch.from_numpy(blurred), sampling)
    ps = [naive_probs(row, sampling) for row in logits.astype(np.float64)]
    qs = [naive_probs(row, sampling) for row in blurred.astype(np.float64)]
    if drafter == "lookup":
        points = [int(random.choice(VOCAB, p=p)) if place % 5 else -1 for place, p in enumerate(ps)]
        draft = point_mass(torch.tensor(points), otherwise=target)
        qs = [np.eye(VOCAB)[t] if t >= 0 else p for t, p in zip(points, ps, strict=True)]
    rows = [
        drawn_by_the_rule(p, q, random, bonus=place % 5 == 0)
        for place, (p, q) in enumerate(zip(ps, qs, strict=True))
    ]
    found = columns(
        target=target, draft=draft, drawn=as_drawn(rows), slack=torch.full((ROWS,), SLACK)
    )
    assert {int(stage) for stage in found["stage"]} == {
        Stage.ACCEPTED,
        Stage.RECOVERED,
        Stage.BONUS,
    }
    for place, (p, q, row) in enumerate(zip(ps, qs, rows, strict=True)):
        for name, expected in naive_row(p, q, row).items():
            actual = found[name][place].double().numpy()
            np.testing.assert_allclose(
                actual, expected, atol=2e-5, rtol=1e-4, err_msg=f"{name} of row {place}"
            )
    mass = found["bin_mass"].sum(dim=1)
    torch.testing.assert_close(mass, torch.ones(ROWS))


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_every_wrong_distribution_is_a_distribution(name: str) -> None:
    random = np.random.default_rng(3)
    p, q = (random.dirichlet(np.full(VOCAB, 0.3)) for _ in range(2))
    distribution = naive_alternative(name, p, q)
    assert distribution.sum() == pytest.approx(1.0)
    logs = [torch.from_numpy(np.log(each)).expand(VOCAB, -1) for each in (p, q)]
    target, draft = (sampling_distribution(each, Sampling(temperature=1.0)) for each in logs)
    rows = [
        {"token": token, "stage": 0, "draft": NOTHING, "noise": [0.5] * 3}
        | {"earlier": [NOTHING], "twin_token": NOTHING}
        for token in range(VOCAB)
    ]
    found = columns(
        target=target, draft=draft, drawn=as_drawn(rows), slack=torch.full((VOCAB,), SLACK)
    )
    ratios = found["log_ratio"][:, ALTERNATIVES.index(name)].exp().numpy()
    np.testing.assert_allclose(ratios * p, distribution, atol=1e-12)


def test_transforms_of_tokens_drawn_from_the_target_are_uniform() -> None:
    random = np.random.default_rng(11)
    rows = 4000
    logits = random.normal(scale=2.0, size=(rows, VOCAB))
    target = sampling_distribution(torch.from_numpy(logits), Sampling(temperature=1.0))
    draft = sampling_distribution(torch.from_numpy(logits * 0.7), Sampling(temperature=1.0))
    steps = target.probs.numpy().cumsum(axis=1)
    token = (steps < random.random((rows, 1)) * steps[:, -1:]).sum(axis=1)
    drawn = ScoredRows(
        token=torch.from_numpy(token),
        stage=torch.zeros(rows, dtype=torch.uint8),
        draft=torch.full((rows,), NOTHING),
        noise=torch.from_numpy(random.random((rows, 3))),
        earlier=torch.full((rows, 1), NOTHING),
        twin_token=torch.full((rows,), NOTHING),
    )
    found = columns(target=target, draft=draft, drawn=drawn, slack=torch.full((rows,), SLACK))
    for name in ("pit_vocabulary", "pit_rank", "pit_ratio"):
        assert kstest(found[name].numpy(), "uniform").pvalue > 1e-3, name
