"""The tabular pair: every context's whole distribution, through the real decode loop."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.tabular import (
    CONTEXTS,
    TOKENS,
    TabularPair,
    contexts,
    counts,
    mean_distance,
)
from benchmarks.tabular_distribution import scored, variation
from equivcheck.core.cases import Sampling
from equivcheck.decoding.decoder import Decoder
from equivcheck.faults.catalogue import find

PAIR = TabularPair.make()
WARM = Sampling(temperature=1.0)
LEVEL = 1e-3


def counted(kind: type[Decoder], *, each: int, sampling: Sampling = WARM) -> NDArray[np.int64]:
    """Counts of the first `each` visits; some contexts come up less often than others."""
    spare = 1.15 if kind is Decoder else 1.6
    asked = PAIR.drawn(kind, outputs=round(spare * each * CONTEXTS / TOKENS), sampling=sampling)
    return counts(asked, each=each)


@pytest.mark.parametrize("distance", [0.1, 0.3, 0.5])
def test_target_and_draft_are_as_far_apart_as_asked(distance: float) -> None:
    pair = TabularPair.make(seed=3, distance=distance)
    assert mean_distance(pair.target, pair.draft) == pytest.approx(distance, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_a_sound_decoder_is_within_its_bound(temperature: float) -> None:
    sampling = Sampling(temperature=temperature)
    found = variation(
        counted(Decoder, each=4_000, sampling=sampling), PAIR.probs(sampling), level=LEVEL
    )
    assert found.tokens == 4_000 * CONTEXTS
    assert found.least == 0.0
    assert found.estimate < found.bound < 0.11
    assert found.p_value > 1e-4


@pytest.mark.parametrize(
    "fault",
    [
        "accepts-every-draft",
        "coin-zero-or-one",
        "greedy-draft-soft-law",
        "law-of-slot-before",
        "recovers-from-next-slot",
        "recovers-from-target",
        "typical-acceptance-rejection",
    ],
)
def test_a_blatant_fault_exceeds_it(fault: str) -> None:
    found = variation(counted(find(fault).decoder, each=2_000), PAIR.probs(WARM), level=LEVEL)
    assert found.least > 0.0
    assert found.p_value < 1e-9


@pytest.mark.parametrize("fault", ["bonus-from-draft", "lenience", "recovery-shares-coin"])
def test_a_mild_fault_is_plain_to_a_chi_square(fault: str) -> None:
    found = variation(counted(find(fault).decoder, each=2_000), PAIR.probs(WARM), level=LEVEL)
    assert found.p_value < 1e-4


def test_contexts_come_up_equally_often() -> None:
    asked = PAIR.drawn(outputs=256, sampling=WARM)
    visits = np.bincount(contexts(asked), minlength=CONTEXTS)
    assert visits.min() > 0.85 * visits.mean()


def test_too_few_visits_are_an_error() -> None:
    asked = PAIR.drawn(outputs=4, sampling=WARM)
    with pytest.raises(ValueError, match="1000 are to be counted"):
        counts(asked, each=1_000)


def test_scores_are_those_of_the_tables() -> None:
    asked = PAIR.drawn(outputs=40, sampling=Sampling(temperature=0.7))
    table = scored(PAIR, asked)
    distribution = PAIR.probs(Sampling(temperature=0.7))[contexts(asked)]
    tokens = np.concatenate([generation.token_ids for _, generation in asked])
    chosen = distribution[np.arange(len(distribution)), tokens]
    np.testing.assert_allclose(table.surprisal, -np.log(chosen), atol=1e-5)
    np.testing.assert_allclose(
        table.entropy, -(distribution * np.log(distribution)).sum(axis=1), atol=1e-5
    )
    np.testing.assert_allclose(table.bin_mass.sum(axis=1), 1.0, atol=1e-5)
