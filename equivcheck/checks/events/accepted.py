"""How many steps of an answer accepted so many drafts, and in which slots one was rejected.

Of steps both are known. Of counts a request they are bounds: a stop may have cut the last step of
an answer, and a step with fewer drafts than others may accept all that it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from equivcheck.core.generation import DraftCounts, Generation


class Bounds(NamedTuple):
    """How often something happened: between two numbers."""

    least: int
    most: int


def total(found: Iterable[Bounds]) -> Bounds:
    """Sum of all together."""
    every = list(found)
    return Bounds(sum(each.least for each in every), sum(each.most for each in every))


def full_steps(answer: Generation, *, gamma: int) -> Bounds:
    """Steps that accepted ``gamma`` drafts, as many as a step may have."""
    if answer.steps or answer.counts is None:
        drafted, accepted = _steps(answer)
        found = int(((drafted == gamma) & (accepted == gamma)).sum()) if gamma else 0
        return Bounds(found, found)
    if (slots := _slots(answer.counts, gamma=gamma)) is None:
        return Bounds(0, answer.counts.accepted // max(1, gamma))
    found = slots[gamma - 1] if gamma else 0
    return Bounds(found, found)


def rejections(answer: Generation, *, gamma: int) -> tuple[Bounds, ...]:
    """Rejected drafts by slot, ``gamma`` of them.

    Of a last step only where the rejected draft is named: a stop may have cut it, and what lies
    behind the cut is not always counted.
    """
    if answer.steps or answer.counts is None:
        from equivcheck.core.columns import rejections_named

        drafted, accepted = _steps(answer)
        rejected = accepted < drafted
        rejected[-1:] &= rejections_named(answer)[-1:]
        slots = accepted[rejected].tolist()
        return tuple(Bounds(slots.count(slot), slots.count(slot)) for slot in range(gamma))
    return tuple(
        Bounds(max(0, each.least - 1), each.most) for each in _halted(answer.counts, gamma=gamma)
    )


def partly_accepting(answer: Generation, *, gamma: int) -> Bounds:
    """Steps that accepted some of their drafts and not all; with one draft a step, every step."""
    if answer.steps or answer.counts is None:
        drafted, accepted = _steps(answer)
        found = int((((accepted > 0) & (accepted < drafted)) | (gamma == 1)).sum())
        return Bounds(found, found)
    if gamma == 1:
        return Bounds(answer.counts.drafted, answer.counts.drafted)
    halted = total(_halted(answer.counts, gamma=gamma)[1:])
    return Bounds(max(0, halted.least - 1), halted.most)


def _steps(answer: Generation) -> Iterable[Any]:
    """Drafted and accepted tokens of its steps, [N] each."""
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.core.columns import step_counts

    drafted, accepted, _ = step_counts(answer).T
    return drafted, accepted


def _halted(counts: DraftCounts, *, gamma: int) -> tuple[Bounds, ...]:
    """Steps that accepted 0, 1, up to ``gamma - 1`` drafts and had more."""
    slots = _slots(counts, gamma=gamma)
    if slots is None or counts.steps is None:
        return (Bounds(0, counts.drafted - counts.accepted),) * gamma
    halted = [max(0, before - behind) for before, behind in pairwise((counts.steps, *slots))]
    # Steps with fewer drafts than that may have accepted all that they had.
    whole = counts.drafted == counts.steps * gamma
    return tuple(Bounds(each if whole else 0, each) for each in halted)


def _slots(counts: DraftCounts, *, gamma: int) -> tuple[int, ...] | None:
    """Accepted drafts by slot, ``gamma`` of them; None: not told."""
    told = counts.accepted_by_slot
    if counts.accepted and not told:
        return None
    return (*told, *[0] * (gamma - len(told)))[:gamma]
