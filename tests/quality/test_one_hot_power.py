"""Drafts that are certain, as n-grams or a greedy draft model give them: q is one-hot on each.

Every step of the rejection rule is tested then without running the drafter: a draft d is accepted
with probability p(d), replaced by a draw from p without d, and followed by a draw from p.
"""

from __future__ import annotations

import functools

import pytest

from benchmarks.tabular import TabularPair
from benchmarks.tabular_distribution import scored
from equivcheck.core.cases import Sampling
from equivcheck.decoding.decoder import Decoder
from equivcheck.faults.catalogue import find
from equivcheck.statistics.battery import Battery, evaluate

PAIR = TabularPair.make(distance=0.3)
SAMPLINGS = {"plain": Sampling(temperature=1.0), "nucleus": Sampling(temperature=0.8, top_p=0.9)}
SEEDS = range(5)


@functools.cache
def judged(
    fault: str | None, *, distribution: str = "plain", outputs: int = 64, seed: int = 0
) -> Battery:
    kind = find(fault).decoder if fault else Decoder
    asked = PAIR.drawn(
        kind, outputs=outputs, sampling=SAMPLINGS[distribution], seed=seed, one_hot=True
    )
    table = scored(PAIR, asked, one_hot=True)
    return evaluate(table, alpha=1e-4, alpha_pass=1e-3, stages=True)


@pytest.mark.parametrize("distribution", SAMPLINGS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", [None, "draft-shares-coin"])
def test_a_sound_decoder_is_not_accused(fault: str | None, seed: int, distribution: str) -> None:
    """Nor one whose drafts use the coin's noise: a certain draft uses none."""
    found = judged(fault, distribution=distribution, outputs=128, seed=seed)
    assert not found.broken
    assert found.impossible.total == 0
    assert found.void is None
    assert set(found.stages) == {"draft", "accept", "recovered", "bonus"}


@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_drafts_that_are_called_certain_are_refuted(seed: int) -> None:
    """The word is the engine's to get right: a draft drawn from q is not accepted with p(d)."""
    asked = PAIR.drawn(outputs=64, sampling=SAMPLINGS["plain"], seed=seed)
    table = scored(PAIR, asked, one_hot=True)
    assert evaluate(table, alpha=1e-4, alpha_pass=1e-3, stages=True).broken


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("fault", "events"),
    [
        ("accepts-every-draft", set[str]()),
        ("coin-zero-or-one", set[str]()),
        ("recovers-from-target", {"recovered-impossible"}),
        ("lenience", set[str]()),
    ],
)
def test_a_broken_rule_is_refuted(fault: str, events: set[str], seed: int) -> None:
    found = judged(fault, outputs=256, seed=seed)
    assert found.broken
    assert set(found.impossible.counts) == events
    if not events:
        assert max(found.stages, key=lambda name: found.stages[name].highest) == "accept"
