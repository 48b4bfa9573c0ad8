"""Total variation a token, measured: above 0 where tokens lean, and only there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from equivcheck.records.score_table import Support
from equivcheck.statistics.excess import total_variation
from tests.unit.statistics.tables import Decoder, Distribution_, leak, make, temperature

LEVEL = 0.05


def test_a_sound_decoder_is_never_far_off() -> None:
    found = [total_variation(make(Decoder(), seed=seed), level=LEVEL) for seed in range(10)]
    assert all(each.low == 0.0 for each in found)
    assert all(each.low <= each.estimate <= each.high for each in found)


@pytest.mark.parametrize("distribution", [leak(0.6), temperature(0.5)], ids=["leak", "temperature"])
def test_a_lossy_one_is(distribution: Distribution_) -> None:
    found = total_variation(make(Decoder(output=distribution), seed=3, rounds=16), level=LEVEL)
    assert 0.0 < found.low < found.estimate < found.high


def test_nothing_scored_is_nothing_known() -> None:
    table = make(Decoder(), seed=1)
    none = dataclasses.replace(table, support=np.full_like(table.support, Support.OUTSIDE))
    found = total_variation(none, level=LEVEL)
    assert (found.tokens, found.low, found.high) == (0, 0.0, 1.0)
