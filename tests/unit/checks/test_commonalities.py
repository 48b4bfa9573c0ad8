"""What failures have in common: the cause is told, noise and what everything has are not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from scipy.stats import binom

from equivcheck.checks.commonalities import LEVEL, DiagnosedCase, Thing, common

CASES, TOKENS = 40, 60
Breaks = Callable[[Thing, Thing], bool]
"""Whether a fault can show in a case, at a place of it."""


def case(number: int) -> DiagnosedCase:
    """A case of a run: prompts of every length, blocks of up to five tokens, four workloads."""
    source = random.Random(number)
    prompt = source.randrange(8, 80)
    traits = {
        f"workload {source.choice('abcd')}",
        source.choice(("greedy", "sampled")),
        *(name for name in ("with top_p", "with a penalty", "with stop") if source.random() < 0.2),
    }
    own = Thing({"prompt tokens": prompt, "row": number % 8}, frozenset(traits))
    return DiagnosedCase(own, list(_places(source, prompt)), failing=False)


def _places(source: random.Random, prompt: int) -> Iterator[Thing]:
    token = 0
    while token < TOKENS:
        accepted = source.randrange(5)
        for slot in range(accepted + 1):
            last = "the bonus token" if accepted == 4 else "the correction"
            yield Thing(
                {"output token": token, "sequence position": prompt + token, "draft slot": slot},
                frozenset({"an accepted draft" if slot < accepted else last}),
            )
            token += 1


def broken(breaks: Breaks, *, chance: float = 0.5, seed: int = 1) -> list[DiagnosedCase]:
    """Cases with a fault that shows with some chance wherever it can, at the first such place."""
    source = random.Random(seed)
    found = []
    for each in map(case, range(CASES)):
        at = next(
            (
                index
                for index, place in enumerate(each.places)
                if breaks(each.own, place) and source.random() < chance
            ),
            None,
        )
        found.append(each._replace(failing=at is not None, at=at))
    return found


CAUSES: dict[str, tuple[str, Breaks]] = {
    "from a position on": (
        "sequence position >= ",
        lambda _, place: place.numbers["sequence position"] >= 96,
    ),
    "at a position": (
        "sequence position 90",
        lambda _, place: place.numbers["sequence position"] == 90,
    ),
    "in bonus slots": ("the bonus token", lambda _, place: "the bonus token" in place.traits),
    "behind the first slot": ("draft slot >= 1", lambda _, place: place.numbers["draft slot"] > 0),
    "with a parameter": ("with a penalty", lambda own, _: "with a penalty" in own.traits),
    "in a workload": ("workload b", lambda own, _: "workload b" in own.traits),
    "in later rows": ("row >= 4", lambda own, _: own.numbers["row"] >= 4),
    "at the start": ("output token 0", lambda _, place: place.numbers["output token"] == 0),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_cause_is_told_first(cause: str) -> None:
    words, breaks = CAUSES[cause]
    told = common(broken(breaks, chance=1.0 if cause == "at a position" else 0.3))
    assert any(line.startswith(words) for line in told[:2]), told
    assert len(told) <= 3


def test_all_that_has_to_come_together_is_told() -> None:
    told = common(
        broken(
            lambda own, place: "sampled" in own.traits and "the bonus token" in place.traits,
            chance=0.9,
        )
    )
    assert [line.partition(":")[0] for line in told] == ["the bonus token", "sampled"]


def test_counts_stand_behind_each_line() -> None:
    cases = broken(lambda own, _: "with a penalty" in own.traits, chance=1.0)
    failing = sum(each.failing for each in cases)
    assert common(cases) == [
        f"output token 0: {failing} of {failing} failing places, "
        f"{CASES - failing} of {_places_of(cases) - failing:,} others",
        f"with a penalty: {failing} of {failing} failing cases, 0 of {CASES - failing} passing",
    ]


def _places_of(cases: Sequence[DiagnosedCase]) -> int:
    return sum(len(each.places) for each in cases)


def test_a_single_failure_and_none_say_nothing() -> None:
    cases = [case(number) for number in range(CASES)]
    assert common(cases) == []
    assert common([cases[0]._replace(failing=True, at=3), *cases[1:]]) == []


def test_failures_without_a_known_place_are_told_apart_by_their_cases() -> None:
    cases = [
        each._replace(failing="with stop" in each.own.traits) for each in map(case, range(CASES))
    ]
    assert common(cases)[0].startswith("with stop: ")


@pytest.mark.parametrize("failures", [2, 5, 20, CASES])
def test_failures_at_random_are_given_no_cause(failures: int) -> None:
    """Which cases fail, and where in each, is drawn: with probability `LEVEL` anything is said."""
    runs, said = 60, 0
    cases = [case(number) for number in range(CASES)]
    for seed in range(runs):
        source = random.Random(f"{failures} {seed}")
        chosen = set(source.sample(range(CASES), failures))
        drawn = [
            each._replace(failing=True, at=source.randrange(len(each.places)))
            if number in chosen
            else each
            for number, each in enumerate(cases)
        ]
        said += bool(common(drawn))
    assert said <= binom.ppf(0.9999, runs, LEVEL)


def test_what_every_case_has_is_no_cause() -> None:
    every = [
        each._replace(own=each.own._replace(traits=each.own.traits | {"everywhere"}))
        for each in broken(lambda own, _: "with stop" in own.traits)
    ]
    assert not any("everywhere" in line for line in common(every))
