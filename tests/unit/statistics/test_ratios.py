from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.generation import Counts
from equivcheck.statistics.ratios import Change, acceptance_change, ratio_interval

COUNTS = st.integers(1, 60).flatmap(
    lambda drafted: st.integers(0, drafted).map(
        lambda accepted: Counts(drafted=drafted, accepted=accepted)
    )
)
RUNS = st.dictionaries(st.sampled_from("abcdefgh"), COUNTS, min_size=2)


def test_a_change_by_hand() -> None:
    base = {"a": Counts(drafted=100, accepted=60), "b": Counts(drafted=100, accepted=62)}
    new = {"a": Counts(drafted=100, accepted=50), "b": Counts(drafted=100, accepted=50)}
    change = acceptance_change(base=base, new=new)
    assert (change.prompts, change.base, change.new) == (2, 0.61, 0.5)
    # Residuals: base -.005 and .005, new 0 and 0; se = sqrt(2 * 2 * .005**2) = .01.
    assert change.interval == pytest.approx((-0.11 - 0.127062, -0.11 + 0.127062), abs=1e-6)


@pytest.mark.parametrize(
    ("accepted", "drafted", "interval"),
    [
        ([1, 1], [1, 1], (0.158114, 1.0)),
        ([0, 0], [1, 1], (0.0, 0.841886)),
        ([3, 6], [4, 8], (0.428140, 0.945141)),
        ([400, 400], [400, 400], (0.995400, 1.0)),
    ],
)
def test_prompts_of_one_rate_are_no_proof_of_it(
    accepted: list[int], drafted: list[int], interval: tuple[float, float]
) -> None:
    assert ratio_interval(accepted=accepted, drafted=drafted) == pytest.approx(interval, abs=1e-5)


@given(RUNS)
def test_a_run_against_itself_changed_by_exactly_nothing(run: dict[str, Counts]) -> None:
    change = acceptance_change(base=run, new=run)
    assert change.difference == 0.0
    assert change.interval == (0.0, 0.0)


@given(RUNS, RUNS)
def test_swapping_the_runs_turns_the_sign(one: dict[str, Counts], other: dict[str, Counts]) -> None:
    there, back = acceptance_change(base=one, new=other), acceptance_change(base=other, new=one)
    assert there.prompts == back.prompts == len(one.keys() & other.keys())
    if there.interval is None:
        assert back.interval is None
        return
    assert back.interval is not None
    assert there.difference == pytest.approx(-(back.difference or 0.0))
    assert there.interval.low == pytest.approx(-back.interval.high)
    assert there.interval.low <= (there.difference or 0.0) + 1e-12
    assert (there.difference or 0.0) <= there.interval.high + 1e-12


@given(RUNS, st.dictionaries(st.sampled_from("uvwxyz"), COUNTS))
def test_prompts_of_one_side_only_change_nothing(
    run: dict[str, Counts], more: dict[str, Counts]
) -> None:
    assert acceptance_change(base=run, new=run | more) == acceptance_change(base=run, new=run)


@given(RUNS, RUNS, st.integers(2, 5))
def test_longer_answers_are_no_larger_sample(
    base: dict[str, Counts], new: dict[str, Counts], times: int
) -> None:
    def longer(run: dict[str, Counts]) -> dict[str, Counts]:
        return {
            key: Counts(drafted=times * c.drafted, accepted=times * c.accepted)
            for key, c in run.items()
        }

    before, after = (
        acceptance_change(base=base, new=new),
        acceptance_change(base=longer(base), new=longer(new)),
    )
    assert (before.interval is None) == (after.interval is None)
    if before.interval is not None and after.interval is not None:
        assert after.interval == pytest.approx(before.interval)


@pytest.mark.parametrize(
    ("base", "new", "prompts"),
    [
        ({}, {}, 0),
        ({"a": Counts(drafted=4, accepted=2)}, {"b": Counts(drafted=4, accepted=2)}, 0),
        ({"a": Counts(drafted=4, accepted=2)}, {"a": Counts(drafted=4, accepted=4)}, 1),
        (
            {"a": Counts(drafted=0, accepted=0), "b": Counts(drafted=0, accepted=0)},
            {"a": Counts(drafted=4, accepted=1), "b": Counts(drafted=4, accepted=2)},
            2,
        ),
    ],
    ids=["empty", "disjoint", "one", "base drafted nothing"],
)
def test_too_little_has_no_interval(
    base: dict[str, Counts], new: dict[str, Counts], prompts: int
) -> None:
    change = acceptance_change(base=base, new=new)
    assert change.interval is None
    assert change.prompts == prompts


def test_pairing_takes_out_what_sets_prompts_apart() -> None:
    """Prompts that differ widely, all of them worse by 5 points: the pairs show it at once."""
    base = {str(n): Counts(drafted=100, accepted=20 + 6 * n) for n in range(10)}
    new = {key: Counts(drafted=c.drafted, accepted=c.accepted - 5) for key, c in base.items()}
    change = acceptance_change(base=base, new=new)
    assert change.interval is not None
    assert change.interval.high < -0.04
    unpaired = ratio_interval(accepted=[c.accepted for c in base.values()], drafted=[100] * 10)
    assert unpaired is not None
    assert unpaired.high - unpaired.low > 0.2


def test_the_interval_covers_as_often_as_it_says() -> None:
    draw = random.Random(7)
    covered = 0
    rounds = 400
    for _ in range(rounds):
        base, new = {}, {}
        for prompt in range(20):
            level = draw.betavariate(6, 4)
            drafted = draw.randint(20, 80)
            base[str(prompt)] = Counts(drafted=drafted, accepted=_heads(draw, drafted, level))
            shifted = min(1.0, max(0.0, level - 0.1 + draw.gauss(0, 0.05)))
            new[str(prompt)] = Counts(drafted=drafted, accepted=_heads(draw, drafted, shifted))
        change = acceptance_change(base=base, new=new)
        covered += _covers(change, -0.1)
    assert 0.91 <= covered / rounds <= 0.985


def _heads(draw: random.Random, tosses: int, chance: float) -> int:
    return sum(draw.random() < chance for _ in range(tosses))


def _covers(change: Change, value: float) -> bool:
    return change.interval is not None and change.interval.low <= value <= change.interval.high
