"""A right decoder is refuted no more often than alpha, by any part of the battery."""

from __future__ import annotations

import math
from collections import Counter

from equivcheck.statistics.battery import evaluate
from tests.unit.statistics.tables import Decoder, make, target

TABLES = 240
ALPHA = 0.05
ALLOWED = math.floor(TABLES * ALPHA + 3.1 * math.sqrt(TABLES * ALPHA * (1 - ALPHA)))
"""By binomial chance, a rate of exactly alpha goes beyond this about once in a thousand times."""


def test_no_part_crosses_more_often_than_alpha() -> None:
    crossed: Counter[str] = Counter()
    for seed in range(TABLES):
        found = evaluate(make(Decoder(), seed=seed), alpha=ALPHA, alpha_pass=1e-3, stages=True)
        assert found.impossible.total == 0
        assert found.combined.highest < math.log(1e6)
        crossed["combined"] += found.failed_after is not None
        crossed["case"] += bool(found.culprit_cases)
        for name, peak in (found.parts | found.stages).items():
            crossed[name] += peak.highest >= -math.log(ALPHA)
    assert set(crossed) == {
        *("combined", "case", "output", "stages", "serial", "crossing"),
        *("draft", "accept", "recovered", "bonus"),
    }
    assert {name: count for name, count in crossed.items() if count > ALLOWED} == {}


def test_a_decoder_without_a_trace_is_not_refuted_either() -> None:
    crossed = 0
    for seed in range(TABLES):
        scores = make(Decoder(output=target), seed=1000 + seed)
        found = evaluate(scores, alpha=ALPHA, alpha_pass=1e-3, stages=False)
        assert set(found.parts) == {"output", "serial", "crossing"}
        crossed += found.broken
    assert crossed <= ALLOWED
