"""Who was decoded beside whom: what an arm was asked in one go, in which row, next to which others.

Follows from the plan and, for the engine `native`, whose rows are refilled in the order of asking,
from the number of steps that each answer took. What does not agree with the order in which the
answers came, as in a run that was resumed, is said to be unknown. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import Struct

from equivcheck.records.asking_order import by_wave, company_of, in_turns, mixed_up
from equivcheck.records.records import CANDIDATE, CONTROL, DRAWING, REPEAT, SHUFFLED, Evidence

ROWS_KNOWN = "native"
"""Engine of which it is known how it seats requests."""


class Seat(Struct, frozen=True, kw_only=True):
    """Where one request was decoded."""

    together: tuple[str, ...]
    """Keys of all that the engine was asked in one go, in that order, this one included."""
    turn: int
    """Which go of the arm it was, from 0."""
    rows: int
    """Rows of the engine's batch."""
    row: int | None = None
    """From 0; None: not known, as for all other engines."""
    served: int = 0
    """Requests of the same go that the row had served before."""
    beside: tuple[str, ...] = ()
    """Keys of those decoded at the same time, by row, for one step or more; empty: not known."""


class _Taken(Struct, frozen=True):
    """A row from one round to another."""

    row: int
    served: int
    first: int
    end: int
    """First round in which the row is free again."""


def seats_of(evidence: Evidence, arm: str) -> dict[str, Seat]:
    """Where an arm decoded each case that it answered; none for arms that draw."""
    # Shards seat their cases by themselves; of a merged run nobody wrote down how.
    if arm in DRAWING or arm not in evidence.header.arms or evidence.header.merged:
        return {}
    answered = evidence.captured.get(arm, {})
    told = evidence.header.arms[arm]
    seated: dict[str, Seat] = {}
    for turn, together in enumerate(_asked_together(evidence, arm)):
        taken = {}
        if told.engine.partition(":")[0] == ROWS_KNOWN:
            # More rows than requests are never used; records may name any number.
            rows = max(1, min(told.batch_size, len(together)))
            taken = _rows_taken(evidence, arm, together, rows=rows)
        for key in together:
            if key in answered:
                bare = Seat(together=together, turn=turn, rows=told.batch_size)
                seated[key] = _seat(bare, key, taken)
    return seated


def _seat(bare: Seat, key: str, taken: Mapping[str, _Taken]) -> Seat:
    if key in taken:
        own = taken[key]
        others = sorted(
            (each.row, each.first, other)
            for other, each in taken.items()
            if other != key and each.first < own.end and own.first < each.end
        )
        beside = tuple(other for _, _, other in others)
        return Seat(
            together=bare.together,
            turn=bare.turn,
            rows=bare.rows,
            row=own.row,
            served=own.served,
            beside=beside,
        )
    if len(bare.together) > bare.rows:
        return bare
    beside = tuple(other for other in bare.together if other != key)
    return Seat(together=bare.together, turn=bare.turn, rows=bare.rows, beside=beside)


def _asked_together(evidence: Evidence, arm: str) -> list[tuple[str, ...]]:
    """What an arm was asked in one go each, as planned."""
    planned = evidence.header.planned
    size = evidence.header.settings.setup.batch_size
    again = set(planned.get(SHUFFLED, ()))
    probes = [key for key in evidence.asked if key in again]
    others = [key for key in evidence.asked if key not in again]

    def wave(key: str) -> int:
        return evidence.asked[key].wave

    if arm == SHUFFLED:
        seed = evidence.header.settings.seed
        guests = [key for key in others if wave(key) == 0]
        return [
            mixed_up(wanted, guests, seed=seed, company=company_of(size))
            if wave(wanted[0]) == 0
            else mixed_up(wanted, (), seed=seed, company=0)
            for wanted in by_wave(probes, wave=wave)
        ]
    chunks = [
        *in_turns(probes, size=size, wave=wave),
        *(() if arm == REPEAT else in_turns(others, size=size, wave=wave)),
    ]
    if arm == CONTROL:
        greedy = set(planned.get(CONTROL, ()))
        chunks = [tuple(key for key in chunk if key in greedy) for chunk in chunks]
    return [chunk for chunk in chunks if chunk]


def _rows_taken(
    evidence: Evidence, arm: str, together: Sequence[str], *, rows: int
) -> dict[str, _Taken]:
    """Rows by key; empty where that cannot be told, or is not how the answers came."""
    answered = evidence.captured.get(arm, {})
    # Company whose answers were thrown away took as many steps as when it was asked to be judged.
    stand_in = evidence.captured.get(CANDIDATE, {})
    lengths = {}
    for key in together:
        found = answered.get(key) or stand_in.get(key)
        if found is None or not found.generation.steps:
            return {}
        lengths[key] = len(found.generation.steps)
    taken = _seated(lengths, rows=rows)
    ended = sorted(taken, key=lambda key: (taken[key].end, taken[key].row))
    came = [key for key in answered if key in taken]
    return taken if [key for key in ended if key in answered] == came else {}


def _seated(lengths: Mapping[str, int], *, rows: int) -> dict[str, _Taken]:
    """Seat requests as `decoding.decoder` does: idle rows in order, each as soon as it is free.

    Args:
        lengths: key to its number of steps, in the order of asking.
        rows: of the batch.
    """
    queue, taken = deque(lengths), {}
    free_from, served = [0] * rows, [0] * rows
    while queue:
        row = min(range(rows), key=lambda each: (free_from[each], each))
        key = queue.popleft()
        end = free_from[row] + lengths[key]
        taken[key] = _Taken(row, served[row], free_from[row], end)
        free_from[row], served[row] = end, served[row] + 1
    return taken
