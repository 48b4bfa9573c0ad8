"""How often the candidate's drafts were accepted: by slot, by kind of request, by position.

Drafts are counted as they were put to the target; the bonus token is no draft. Intervals are 95 %,
with prompts as the sample. Part of the view.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from msgspec import Struct

from equivcheck.checks.populations import POPULATIONS
from equivcheck.core.findings import Interval
from equivcheck.core.generation import Counts, Generation
from equivcheck.records.records import CANDIDATE, Evidence
from equivcheck.statistics.ratios import ratio_interval

POSITIONS = (0, 64, 128, 256, 512, 1024, 2048, 4096)
"""Sequence positions at which a range begins; the last is open."""
SLOT_HEADER = ("slot", "drafted", "accepted", "share", "of those reached")
GROUP_HEADER = ("prompts", "drafted", "accepted", "acceptance (95 %)")


UNTOLD = "n/a"


class SlotRow(Struct, frozen=True, kw_only=True):
    """Drafts in one place of the block."""

    slot: int
    drafted: int | None
    """None: the engine tells totals by slot of what was accepted, and of nothing else."""
    accepted: int
    reached: int | None
    """Drafts here behind which all earlier ones of the step were accepted; None: as `drafted`."""


class GroupRow(Struct, frozen=True, kw_only=True):
    """Drafts of one population, or in one range of positions."""

    name: str
    prompts: int
    """With drafts."""
    drafted: int
    accepted: int
    interval: Interval | None
    """Interval of the acceptance rate; None with fewer than two prompts."""


class AcceptanceView(Struct, frozen=True, kw_only=True):
    """All of it; rows without drafts are left out, but for populations that were asked."""

    slots: tuple[SlotRow, ...]
    populations: tuple[GroupRow, ...]
    positions: tuple[GroupRow, ...]
    """By the sequence position of a step's first draft."""


def acceptance_view(evidence: Evidence) -> AcceptanceView | None:
    """What became of drafts, by steps or by counts a request; None where none are told."""
    captured = evidence.captured.get(CANDIDATE, {})
    answers = {key: captured[key].generation for key in evidence.asked if key in captured}
    if not any(answer.drafts_counted.drafted for answer in answers.values()):
        return None
    return AcceptanceView(
        slots=tuple(_slots(answers.values())),
        populations=tuple(_populations(evidence, answers)),
        positions=tuple(_positions(evidence, answers)),
    )


def _slots(answers: Collection[Generation]) -> Iterator[SlotRow]:
    if any(not answer.steps and answer.drafts_counted.drafted for answer in answers):
        yield from _counted_slots(answers)
        return
    # Loads numpy, which a report costs and importing one does not.
    from equivcheck.core.columns import steps_of

    drafted, accepted, _ = steps_of(answers).T
    for slot in range(int(drafted.max())):
        yield SlotRow(
            slot=slot,
            drafted=int((drafted > slot).sum()),
            accepted=int((accepted > slot).sum()),
            reached=int(((drafted > slot) & (accepted >= slot)).sum()),
        )


def _counted_slots(answers: Iterable[Generation]) -> Iterator[SlotRow]:
    """Accepted drafts by slot; nothing where an answer with accepted drafts does not tell slots."""
    told = [answer.totals for answer in answers if answer.totals is not None]
    if any(each.accepted and not each.accepted_by_slot for each in told):
        return
    for slot, accepted in enumerate(zip_longest(*(each.accepted_by_slot for each in told))):
        yield SlotRow(
            slot=slot, drafted=None, accepted=sum(each or 0 for each in accepted), reached=None
        )


def _populations(evidence: Evidence, answers: Mapping[str, Generation]) -> Iterator[GroupRow]:
    counts = {key: answer.drafts_counted for key, answer in answers.items()}
    for name, belongs in POPULATIONS.items():
        own = [told for key, told in counts.items() if belongs(evidence.asked[key].request)]
        if own:
            yield _group(name, own)


def _positions(evidence: Evidence, answers: Mapping[str, Generation]) -> Iterator[GroupRow]:
    import numpy as np

    from equivcheck.core.columns import step_counts

    found: list[list[Counts]] = [[] for _ in POSITIONS]
    for key, answer in answers.items():
        drafted, accepted, emitted = step_counts(answer).T.astype("int64")
        at = len(evidence.asked[key].request.prompt_ids) + emitted.cumsum() - emitted
        ranges = np.searchsorted(POSITIONS, at, side="right") - 1
        sums = [np.bincount(ranges, each, len(POSITIONS)) for each in (drafted, accepted)]
        for counts, own, kept in zip(found, *sums, strict=True):
            counts.append(Counts(drafted=int(own), accepted=int(kept)))
    for start, end, counts in zip(POSITIONS, (*POSITIONS[1:], None), found, strict=True):
        row = _group(f"{start} to {end - 1}" if end else f"from {start}", counts)
        if row.drafted:
            yield row


def _group(name: str, counts: Iterable[Counts]) -> GroupRow:
    drafting = [each for each in counts if each.drafted]
    accepted, drafted = [each.accepted for each in drafting], [each.drafted for each in drafting]
    return GroupRow(
        name=name,
        prompts=len(drafting),
        drafted=sum(drafted),
        accepted=sum(accepted),
        interval=ratio_interval(accepted=accepted, drafted=drafted),
    )


def slot_cells(row: SlotRow) -> tuple[str, ...]:
    """Slot, drafted, accepted, share of drafted, share of those reached."""
    return (
        str(row.slot),
        UNTOLD if row.drafted is None else f"{row.drafted:,}",
        f"{row.accepted:,}",
        _share(row.accepted, row.drafted),
        _share(row.accepted, row.reached),
    )


def group_cells(row: GroupRow) -> tuple[str, ...]:
    """Name, prompts, drafted, accepted, rate with its interval."""
    return (row.name, f"{row.prompts:,}", f"{row.drafted:,}", f"{row.accepted:,}", _rate(row))


def group_tables(view: AcceptanceView) -> Iterator[tuple[tuple[str, ...], Sequence[GroupRow]]]:
    """Header and rows, of populations and of positions."""
    for name, rows in (
        ("population", view.populations),
        ("sequence position", view.positions),
    ):
        if rows:
            yield (name, *GROUP_HEADER), rows


def acceptance_lines(view: AcceptanceView) -> Iterator[str]:
    """The same in three lines of plain text."""
    if counted := [row for row in view.slots if row.drafted is None]:
        by_slot = " · ".join(f"{row.slot}: {row.accepted:,}" for row in counted)
        yield f"accepted drafts by slot: {by_slot}"
    elif view.slots:
        shares = [f"{row.slot}: {_share(row.accepted, row.drafted)}" for row in view.slots]
        yield f"acceptance by slot: {' · '.join(shares)}"
    for (name, *_), rows in group_tables(view):
        rates = " · ".join(f"{row.name}: {_share(row.accepted, row.drafted)}" for row in rows)
        yield f"by {name}: {rates}"


def _rate(row: GroupRow) -> str:
    share = _share(row.accepted, row.drafted)
    if row.interval is None:
        return share
    return f"{share} [{row.interval.low:.2f}, {row.interval.high:.2f}]"


def _share(part: int, whole: int | None) -> str:
    return f"{part / whole:.2f}" if whole else UNTOLD
