"""How often the candidate's drafts were accepted: by slot, by kind of request, by position.

Drafts are counted as they were put to the target; the bonus token is no draft. Intervals are 95 %,
with prompts as the sample. Part of the view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

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


class SlotRow(Struct, frozen=True, kw_only=True):
    """Drafts in one place of the block."""

    slot: int
    drafted: int
    accepted: int
    reached: int
    """Drafts here behind which all earlier ones of the step were accepted."""


class GroupRow(Struct, frozen=True, kw_only=True):
    """Drafts of one population, or in one range of positions."""

    name: str
    prompts: int
    """With drafts."""
    drafted: int
    accepted: int
    interval: Interval | None
    """Of the acceptance rate; None with fewer than two prompts."""


class AcceptanceView(Struct, frozen=True, kw_only=True):
    """All of it; rows without drafts are left out, but for populations that were asked."""

    slots: tuple[SlotRow, ...]
    populations: tuple[GroupRow, ...]
    positions: tuple[GroupRow, ...]
    """By the sequence position of a step's first draft."""


def acceptance_view(evidence: Evidence) -> AcceptanceView | None:
    """What became of drafts; None where no steps with drafts are told."""
    captured = evidence.captured.get(CANDIDATE, {})
    answers = {key: captured[key].generation for key in evidence.asked if key in captured}
    if not any(step.drafted for answer in answers.values() for step in answer.steps):
        return None
    return AcceptanceView(
        slots=tuple(_slots(answers.values())),
        populations=tuple(_populations(evidence, answers)),
        positions=tuple(_positions(evidence, answers)),
    )


def _slots(answers: Iterable[Generation]) -> Iterator[SlotRow]:
    steps = [step for answer in answers for step in answer.steps]
    for slot in range(max(step.drafted for step in steps)):
        yield SlotRow(
            slot=slot,
            drafted=sum(step.drafted > slot for step in steps),
            accepted=sum(step.accepted > slot for step in steps),
            reached=sum(step.drafted > slot and step.accepted >= slot for step in steps),
        )


def _populations(evidence: Evidence, answers: Mapping[str, Generation]) -> Iterator[GroupRow]:
    for name, belongs in POPULATIONS.items():
        own = [answer for key, answer in answers.items() if belongs(evidence.asked[key].request)]
        if own:
            counts = [
                Counts(
                    drafted=sum(step.drafted for step in answer.steps),
                    accepted=sum(step.accepted for step in answer.steps),
                )
                for answer in own
            ]
            yield _group(name, counts)


def _positions(evidence: Evidence, answers: Mapping[str, Generation]) -> Iterator[GroupRow]:
    found: dict[int, dict[str, Counts]] = {start: defaultdict(_none) for start in POSITIONS}
    for key, answer in answers.items():
        at = len(evidence.asked[key].request.prompt_ids)
        for step in answer.steps:
            start = max(start for start in POSITIONS if start <= at)
            before = found[start][key]
            found[start][key] = Counts(
                before.drafted + step.drafted, before.accepted + step.accepted
            )
            at += step.emitted
    for start, end in zip(POSITIONS, (*POSITIONS[1:], None), strict=True):
        row = _group(f"{start} to {end - 1}" if end else f"from {start}", found[start].values())
        if row.drafted:
            yield row


def _none() -> Counts:
    return Counts(drafted=0, accepted=0)


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
        f"{row.drafted:,}",
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
    by_slot = " · ".join(f"{row.slot}: {_share(row.accepted, row.drafted)}" for row in view.slots)
    yield f"acceptance by slot: {by_slot}"
    for (name, *_), rows in group_tables(view):
        rates = " · ".join(f"{row.name}: {_share(row.accepted, row.drafted)}" for row in rows)
        yield f"by {name}: {rates}"


def _rate(row: GroupRow) -> str:
    share = _share(row.accepted, row.drafted)
    if row.interval is None:
        return share
    return f"{share} [{row.interval.low:.2f}, {row.interval.high:.2f}]"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "n/a"
