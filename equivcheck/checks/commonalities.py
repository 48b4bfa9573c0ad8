"""What failing cases have in common and passing ones have not, where chance does not explain it.

Pure, and blind to what traits mean. Of each trait that all failures share two things are asked. Had
the failing cases been drawn from all cases at random, how probable is it that all of them have it
(hypergeometric)? Had each failing place been drawn from all places of its own output at random, how
probable is it that all of them have it (a product of shares)? Twice the lower of the two is the
trait's probability, and it is told below `LEVEL` over the number of traits looked at. The next one
is asked of those cases and places alone that have the first, so that nothing is told twice.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

LEVEL = 0.01
"""How often at most anything is told of failures that have nothing in common."""
MOST_TOLD = 3
LEAST_FAILING = 2
"""A single failure has everything in common with itself."""


class Thing(NamedTuple):
    """What is known of a case, or of one place of an output."""

    numbers: Mapping[str, int] = {}
    """``sequence position`` to its value there."""
    traits: frozenset[str] = frozenset()
    """In words that stand alone: ``the bonus token``, ``workload code``."""


class DiagnosedCase(NamedTuple):
    """One case, failing or not."""

    own: Thing
    places: Sequence[Thing]
    """Every place of its output."""
    failing: bool
    at: int | None = None
    """Index of the failing place; None: it passed, or is not known to have failed at any."""


class Trait(NamedTuple):
    """One thing that cases or places may have."""

    words: str
    of_cases: bool
    """Else of places."""
    holds: Callable[[Thing], bool]
    number: str | None = None
    """Of a trait that one number has one value, the number's name: any value would have done."""
    fixed: bool = False
    """Whether it is the same trait whichever cases and places fail: no border that they set."""


class Shared(NamedTuple):
    """A trait that all failures have."""

    trait: Trait
    between: float | None
    """Probability that it tells the failing cases apart by chance; None: not asked."""
    within: float | None
    """The same of the failing places."""

    @property
    def probability(self) -> float:
        """Probability of either, where there are two."""
        sides = [each for each in (self.between, self.within) if each is not None]
        return min(1.0, len(sides) * min(sides))


def common(cases: Sequence[DiagnosedCase], *, level: float = LEVEL) -> list[str]:
    """At most `MOST_TOLD` lines, the most telling first; none where nothing separates."""
    failing = [case for case in cases if case.failing]
    passing = [case for case in cases if not case.failing]
    if len(failing) < LEAST_FAILING:
        return []
    told: list[str] = []
    most = _limit(failing, passing, level=level)
    while len(told) < MOST_TOLD:
        found = [_shared(trait, failing, passing) for trait in _traits(failing)]
        best = min(
            found,
            key=lambda each: (
                each.probability,
                each.trait.of_cases,
                -_breadth(each.trait, failing, passing),
            ),
            default=None,
        )
        if best is None or best.probability > most:
            break
        told.append(_words(best, failing, passing))
        failing = [_restricted(case, best.trait) for case in failing]
        passing = [_restricted(case, best.trait) for case in passing if _has(case, best.trait)]
    return told


def _limit(
    failing: Sequence[DiagnosedCase], passing: Sequence[DiagnosedCase], *, level: float
) -> float:
    """Below which a trait is told: ``level`` over the number of traits that could get below it.

    What few cases have, or most places, can never be told and takes nothing from the others
    (Tarone, Biometrics 46, 1990).
    """
    lowest = sorted(_lowest(failing, passing))
    divisor = 1
    while bisect.bisect_right(lowest, level / divisor) > divisor:
        divisor += 1
    return level / divisor


def _lowest(failing: Sequence[DiagnosedCase], passing: Sequence[DiagnosedCase]) -> Iterator[float]:
    """The least probability that each trait could have, whichever cases and places had failed."""
    every = [case.own for case in (*failing, *passing)]
    drawn = math.comb(len(every), len(failing))
    for words in {words for thing in every for words in thing.traits}:
        having = sum(words in thing.traits for thing in every)
        if having >= len(failing):
            yield math.comb(having, len(failing)) / drawn
    for name in {name for thing in every for name in thing.numbers}:
        yield from (1 / drawn, 1 / drawn, _by_equal_cases(name, every, failing=len(failing)))
    if any(case.at is None for case in failing):
        return
    of_failing = [place for case in failing for place in case.places]
    for words in {words for place in of_failing for words in place.traits}:
        trait = Trait(words, of_cases=False, holds=_has_words(words), fixed=True)
        if all(_has(case, trait) for case in failing):
            yield _shared(trait, failing, passing).probability
    for name in {name for place in of_failing for name in place.numbers}:
        yield from (
            math.prod(1 / len(case.places) for case in failing),
            _by_equal_places(name, failing),
        )


def _traits(failing: Sequence[DiagnosedCase]) -> Iterator[Trait]:
    """What all failures have; borders of numbers are where the failures themselves set them."""
    yield from _shared_by([case.own for case in failing], of_cases=True)
    at = [case.places[case.at] for case in failing if case.at is not None]
    if len(at) == len(failing):
        yield from _shared_by(at, of_cases=False)


def _shared_by(things: Sequence[Thing], *, of_cases: bool) -> Iterator[Trait]:
    for words in sorted(frozenset.intersection(*(thing.traits for thing in things))):
        yield Trait(words, of_cases, _has_words(words), fixed=True)
    for name in sorted(set.intersection(*(set(thing.numbers) for thing in things))):
        values = [thing.numbers[name] for thing in things]
        least, most = min(values), max(values)
        if least == most:
            yield Trait(f"{name} {least}", of_cases, _between(name, least, most), number=name)
        yield Trait(f"{name} >= {least}", of_cases, _between(name, least, math.inf))
        if of_cases:
            # Not of places: what is wrong from the start fails early for no other reason.
            yield Trait(f"{name} <= {most}", of_cases, _between(name, -math.inf, most))


def _has_words(words: str) -> Callable[[Thing], bool]:
    return lambda thing: words in thing.traits


def _between(name: str, least: float, most: float) -> Callable[[Thing], bool]:
    return lambda thing: name in thing.numbers and least <= thing.numbers[name] <= most


def _shared(
    trait: Trait, failing: Sequence[DiagnosedCase], passing: Sequence[DiagnosedCase]
) -> Shared:
    if trait.of_cases and trait.number is not None:
        every = [case.own for case in (*failing, *passing)]
        return Shared(trait, _by_equal_cases(trait.number, every, failing=len(failing)), None)
    if trait.number is not None:
        return Shared(trait, None, _by_equal_places(trait.number, failing))
    having = len(failing) + sum(_has(case, trait) for case in passing)
    every_way = math.comb(len(failing) + len(passing), len(failing))
    between = math.comb(having, len(failing)) / every_way
    if trait.of_cases:
        return Shared(trait, between, None)
    within = math.prod(_share(case, trait.holds) for case in failing)
    # What every case has, whichever failed, could tell none apart: there is one side to look at.
    return Shared(trait, None if trait.fixed and between == 1.0 else between, within)


def _by_equal_cases(number: str, every: Sequence[Thing], *, failing: int) -> float:
    """That as many cases as fail, drawn from all, have one value: whichever it is."""
    values = Counter(thing.numbers[number] for thing in every if number in thing.numbers)
    ways = sum(math.comb(count, failing) for count in values.values())
    return ways / math.comb(len(every), failing)


def _by_equal_places(number: str, failing: Sequence[DiagnosedCase]) -> float:
    """That a place drawn from each failing case's output has the same value as all others."""
    shares = []
    for case in failing:
        values = Counter(place.numbers.get(number) for place in case.places)
        shares.append({value: count / len(case.places) for value, count in values.items()})
    return sum(math.prod(share.get(value, 0.0) for share in shares) for value in shares[0])


def _share(case: DiagnosedCase, holds: Callable[[Thing], bool]) -> float:
    return sum(map(holds, case.places)) / len(case.places)


def _breadth(
    trait: Trait, failing: Sequence[DiagnosedCase], passing: Sequence[DiagnosedCase]
) -> int:
    """How many cases or places have it: of two that tell as much, the broader claims less."""
    if trait.of_cases:
        return sum(trait.holds(case.own) for case in (*failing, *passing))
    return sum(trait.holds(place) for case in (*failing, *passing) for place in case.places)


def _has(case: DiagnosedCase, trait: Trait) -> bool:
    """Whether a case has a trait, or any place that has it."""
    return trait.holds(case.own) if trait.of_cases else any(map(trait.holds, case.places))


def _restricted(case: DiagnosedCase, trait: Trait) -> DiagnosedCase:
    """The case with those places alone that have a trait of places."""
    if trait.of_cases:
        return case
    kept = [index for index, place in enumerate(case.places) if trait.holds(place)]
    at = None if case.at is None else kept.index(case.at)
    return case._replace(places=[case.places[index] for index in kept], at=at)


def _words(
    found: Shared, failing: Sequence[DiagnosedCase], passing: Sequence[DiagnosedCase]
) -> str:
    """``the bonus token: 12 of 12 failing places, 310 of 4,000 others``."""
    trait, count = found.trait, len(failing)
    if found.within is None or (found.between is not None and found.between <= found.within):
        having = sum(_has(case, trait) for case in passing)
        reach = "" if trait.of_cases else " reach it"
        others = f"{having:,} of {len(passing):,} passing{reach}"
        return f"{trait.words}: {count} of {count} failing cases, {others}"
    every = sum(len(case.places) for case in (*failing, *passing)) - count
    having = sum(trait.holds(place) for case in (*failing, *passing) for place in case.places)
    return (
        f"{trait.words}: {count} of {count} failing places, {having - count:,} of {every:,} others"
    )
