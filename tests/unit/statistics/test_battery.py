"""What the battery reports beside refuting: bounds, culprits, impossible events."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from equivcheck.records.score_table import ScoreTable, Support
from equivcheck.statistics.battery import Battery, evaluate
from equivcheck.statistics.culprits import culprits
from equivcheck.statistics.margins import Margin
from tests.unit.statistics.tables import CASES, LENGTH, Decoder, make, mixed, temperature


def judged(scores: ScoreTable, **settings: Any) -> Battery:
    return evaluate(scores, alpha=1e-4, alpha_pass=1e-3, stages=True, **settings)


def margin(battery: Battery, *, kind: str, upward: bool) -> Margin:
    (found,) = (m for m in battery.margins if (m.kind, m.upward) == (kind, upward))
    return found


def outside(scores: ScoreTable, *, row: int, support: Support) -> ScoreTable:
    changed, ratio = scores.support.copy(), scores.log_ratio.copy()
    changed[row], ratio[row] = support, 0.0
    return dataclasses.replace(scores, support=changed, log_ratio=ratio)


def spliced(good: ScoreTable, bad: ScoreTable, *, case: int) -> ScoreTable:
    """Every draw of one case is taken from the other table."""
    return mixed(good, bad, wrong=(np.arange(good.rows) // LENGTH) % CASES == case)


def test_the_same_table_is_judged_the_same() -> None:
    scores = make(Decoder(), seed=3)
    assert judged(scores) == judged(scores)


@pytest.mark.parametrize(("kind", "upward"), [("leak", True), ("temperature", True)])
def test_bounds_shrink_with_tokens(kind: str, upward: bool) -> None:
    few, many = (judged(make(Decoder(), seed=5, rounds=rounds)) for rounds in (6, 150))
    near = margin(many, kind=kind, upward=upward).bound
    far = margin(few, kind=kind, upward=upward).bound
    assert near is not None
    assert far is None or near < far
    assert many.excess.coarse_bound < few.excess.coarse_bound


def test_a_bound_needs_all_values_beyond_it() -> None:
    found = margin(judged(make(Decoder(), seed=5, rounds=150)), kind="leak", upward=True)
    beyond = [log_e for value, log_e in found.log_e.items() if value >= (found.bound or 0.0)]
    assert list(found.log_e) == sorted(found.log_e)
    assert min(beyond) >= math.log(1e3)


def test_the_truth_is_not_excluded() -> None:
    kept = 0
    for seed in range(20):
        scores = make(Decoder(output=temperature(1.05)), seed=seed, rounds=20)
        bound = margin(judged(scores), kind="temperature", upward=True).bound
        kept += bound is None or bound > 1.05
    assert kept == 20


def test_lenience_goes_downward() -> None:
    found = judged(make(Decoder(), seed=5, rounds=150))
    bound = margin(found, kind="lenience", upward=False).bound
    assert bound is not None
    assert 0.8 <= bound < 1
    assert {m.kind for m in found.margins} == {"leak", "lenience", "temperature", "tilt"}


def test_a_token_outside_the_support_is_enough() -> None:
    scores = outside(make(Decoder(), seed=3), row=2 * LENGTH + 5, support=Support.OUTSIDE)
    found = judged(scores)
    assert found.broken
    assert found.failed_after is None
    assert found.impossible.counts == {"emitted-outside": 1}
    assert found.impossible.first is not None
    assert (found.impossible.first.key, found.impossible.first.position) == ("code/2#1", 5)


def test_a_token_on_the_border_is_counted_and_neutral() -> None:
    found = judged(outside(make(Decoder(), seed=3), row=7, support=Support.BORDER))
    assert not found.broken
    assert found.impossible.border == 1


def test_one_broken_case_is_named() -> None:
    good, bad = (
        make(decoder, seed=8, rounds=100)
        for decoder in (Decoder(), Decoder(output=temperature(1.5)))
    )
    groups = {f"code/{case}": "hot" if case in (2, 3) else "cool" for case in range(CASES)}
    found = judged(spliced(good, bad, case=2), groups=groups)
    assert found.failed_after is not None
    assert found.culprit_cases == ("code/2",)
    assert found.culprit_groups == ("hot",)


def test_no_tokens_prove_nothing() -> None:
    empty = make(Decoder(), seed=1, rounds=0)
    found = judged(empty)
    assert not found.broken
    assert found.tokens == 0
    assert all(m.bound is None for m in found.margins)
    assert found.excess.coarse_bound == 1.0


@pytest.mark.parametrize(
    ("column", "message"), [("log_ratio", "log_ratio holds NaN"), ("draft_mass", "part 'draft'")]
)
def test_nan_is_an_error_not_a_pass(column: str, message: str) -> None:
    scores = make(Decoder(), seed=1)
    broken = getattr(scores, column).copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match=message):
        judged(dataclasses.replace(scores, **{column: broken}))


def test_culprits_are_named_by_holm() -> None:
    alpha = 0.01
    highest = {"weak": math.log(150), "strong": math.log(1000), "none": 0.0}
    assert culprits(highest, alpha=alpha) == ("strong",)
    assert culprits(highest | {"weak": math.log(250)}, alpha=alpha) == ("strong", "weak")
    assert culprits({}, alpha=alpha) == ()
