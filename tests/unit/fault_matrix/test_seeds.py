"""Runs of one entry are one entry, and one miss is a miss."""

from __future__ import annotations

from equivcheck.core.findings import Outcome
from equivcheck.fault_matrix.result import Said
from equivcheck.fault_matrix.seeds import Spread, by_entry, controls_of, faults_of, medians
from tests.unit.fault_matrix.make import make_control, make_result

LATE = make_result(seed=2, tokens=40)
EARLY = make_result(seed=1, tokens=4)
MISSED = make_result(
    seed=3,
    tokens=1,
    caught=False,
    said=Said.EQUIVALENT,
    checks={"greedy": Outcome.PASS},
    accused=False,
)


def test_runs_of_an_entry_come_together_by_seed() -> None:
    results = [LATE, make_control(seed=1), make_result(), EARLY, make_control()]
    (fault,), (sound,) = faults_of(results), controls_of(results)
    assert [result.seed for result in fault.results] == [0, 1, 2]
    assert [result.seed for result in sound.results] == [0, 1]
    assert [runs.first.id for runs in by_entry(results)] == ["no-trim", "sound"]


def test_tokens_have_a_median_and_a_range() -> None:
    (runs,) = by_entry([make_result(tokens=1234), EARLY, LATE])
    assert runs.tokens == Spread(40, 4, 1234)
    assert str(runs.tokens) == "40 [4 to 1,234]"
    (once,) = by_entry([LATE])
    assert str(once.tokens) == "40"


def test_a_miss_in_one_run_is_a_miss_and_its_tokens_do_not_count() -> None:
    (runs,) = by_entry([EARLY, LATE, MISSED])
    assert not runs.always_caught
    assert str(runs.caught) == "2 of 3"
    assert runs.tokens == Spread(22, 4, 40)
    (never,) = by_entry([MISSED])
    assert never.tokens is None


def test_units_are_kept_apart() -> None:
    drawn = make_result(id="leak-5", caught_by="sampled", tokens=7112)
    unknown = make_result(id="never-drafts", tokens=None)
    faults = faults_of([EARLY, LATE, drawn, unknown])
    assert list(medians(faults, "answered")) == [22]
    assert list(medians(faults, "drawn")) == [7112]


def test_what_is_said_of_a_control_is_counted() -> None:
    results = [make_control(), make_control(seed=1), make_control(seed=2, said=Said.NOT_TESTED)]
    (runs,) = controls_of(results)
    assert runs.said_words() == "2 equivalent, 1 not put to the test"
    assert str(runs.accused) == "0 of 3"
