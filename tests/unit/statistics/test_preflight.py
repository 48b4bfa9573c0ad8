"""What a budget can show is computed from the distributions alone."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.records.records import Preflight
from equivcheck.records.score_table import Support
from equivcheck.statistics.margins import Margin
from equivcheck.statistics.preflight import (
    hopeless,
    most_needed,
    preflight,
    shortfalls,
    tokens_to_show,
    visible_departures,
)
from equivcheck.statistics.profiles import PROFILES, Required
from tests.unit.statistics.tables import LIBRARY, VOCABULARY, Decoder, make, normalised


def test_the_divergence_is_that_of_the_distributions() -> None:
    """Against sums over the vocabulary, which scores do not hold."""
    scores = make(Decoder(), seed=2, rounds=120)
    found = preflight(scores, tokens=1000)
    random = np.random.default_rng(2)
    logits = random.normal(scale=1.5, size=(scores.rows, VOCABULARY))
    p = normalised(np.exp(logits))
    q = normalised(np.exp(logits + random.normal(size=logits.shape)))
    for name in ("leak=0.1", "temperature=1.1", "tilt=-0.3"):
        wrong = LIBRARY[name](p, q)
        exact = float((wrong * np.log(wrong / p)).sum(axis=1).mean())
        assert found.divergences[name] == pytest.approx(exact, rel=0.15)


def test_tokens_outside_the_support_are_left_out() -> None:
    scores = make(Decoder(), seed=2, rounds=2)
    nowhere = np.full(scores.rows, Support.BORDER, dtype=np.uint8)
    empty = preflight(dataclasses.replace(scores, support=nowhere), tokens=10)
    assert empty == Preflight(positions=0, draft_distance=0.0, divergences={}, tokens=10)


@given(st.floats(1e-6, 1.0), st.floats(1e-8, 0.1))
def test_more_divergence_takes_fewer_tokens(divergence: float, alpha: float) -> None:
    tokens = tokens_to_show(divergence, alpha=alpha)
    assert tokens == pytest.approx(2 * tokens_to_show(2 * divergence, alpha=alpha))
    # At this many tokens the growth, less 2.326 standard deviations, reaches the threshold.
    grown = tokens * divergence - 2.326 * math.sqrt(2 * tokens * divergence)
    assert grown == pytest.approx(math.log(27 / alpha), rel=0.05)


def test_what_hardly_diverges_never_shows() -> None:
    assert tokens_to_show(0.0, alpha=1e-4) == math.inf


def test_a_shortfall_says_how_many_tokens_it_would_take() -> None:
    profile = PROFILES["default"]
    found = preflight(make(Decoder(), seed=1, rounds=40), tokens=500)
    short = shortfalls(found, profile)
    assert hopeless(found, profile)
    needed = most_needed(short)
    assert needed is not None
    assert short[0].tokens == needed
    enough = msgspec.structs.replace(found, tokens=needed)
    assert shortfalls(enough, profile) == []
    assert not hopeless(enough, profile)


def test_smaller_departures_show_in_more_tokens() -> None:
    found = preflight(make(Decoder(), seed=1, rounds=40), tokens=2000)
    few = visible_departures(found, alpha=1e-4)
    many = visible_departures(msgspec.structs.replace(found, tokens=50_000), alpha=1e-4)
    assert many["leak+"] < few["leak+"]
    assert set(few) <= set(many)


@pytest.mark.parametrize(
    ("required", "bound", "upward", "excluded"),
    [
        (Required("leak", 0.05), 0.02, True, True),
        (Required("leak", 0.05), 0.05, True, True),
        (Required("leak", 0.05), 0.1, True, False),
        (Required("temperature", 0.95), 0.98, False, True),
        (Required("temperature", 0.95), 1.02, True, False),
        (Required("temperature", 0.95), None, False, False),
    ],
)
def test_a_margin_excludes_what_lies_beyond_it(
    required: Required, bound: float | None, upward: bool, excluded: bool
) -> None:
    margin = Margin(kind=required.kind, upward=upward, bound=bound, log_e={})
    assert required.excluded_by(margin) is excluded


def test_profiles_grow_stricter_with_their_budgets() -> None:
    quick, default, release = (PROFILES[name] for name in ("quick", "default", "release"))
    assert quick.tokens < default.tokens < release.tokens
    for loose, strict in ((quick, default), (default, release)):
        pairs = zip(loose.required, strict.required, strict=True)
        assert all(abs(one.departure) >= abs(other.departure) for one, other in pairs)
