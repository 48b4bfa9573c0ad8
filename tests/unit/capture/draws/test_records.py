"""Draws in the records: in order, of planned cases only; what other gates make of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.checks import complete, coupled
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.records.records import SAMPLED, SAMPLED_TARGET, Failed, SampleRecord
from equivcheck.records.records_file import RecordsWriter
from tests.unit.capture.draws.fakes import CASES, Room, header
from tests.unit.make import make_drawn, make_generation


def drawn(key: str, *, arm: str = SAMPLED) -> SampleRecord:
    return SampleRecord(arm=arm, generation=make_generation(key=key))


def store(folder: Path, *records: SampleRecord) -> Room:
    room = Room(folder)
    writer, _ = RecordsWriter.resume(room.path, header())
    with writer:
        writer.append(*records)
    return room


def test_draws_are_read_in_the_order_of_asking(tmp_path: Path) -> None:
    keys = ("law/c#2", "law/b#1", "law/a#2", "law/a#10", "law/a#1")
    room = store(tmp_path, *map(drawn, keys))
    read = room.read().draws[SAMPLED]
    assert list(read) == ["law/a#1", "law/b#1", "law/a#2", "law/c#2", "law/a#10"]
    assert all(draw.key == key for key, draw in read.items())


def test_where_a_stop_string_is_complete_is_kept_and_may_be_unknown(tmp_path: Path) -> None:
    found = {"law/a#1": 2, "law/b#1": None}
    records = [
        SampleRecord(arm=SAMPLED, generation=make_generation(key=key), stop_completed_at=place)
        for key, place in found.items()
    ]
    room = store(tmp_path, *records, drawn("law/c#1"))
    assert room.read().stops_of_draws == {SAMPLED: found}
    assert "stop_completed_at" not in room.path.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (drawn("law/a#1"), "sampled draws 'law/a#1' a second time"),
        (drawn("law/plain#1"), "sampled draws 'law/plain#1', which was never asked"),
        (drawn("law/a"), "'law/a' is not a case"),
        (drawn("law/a#2", arm=SAMPLED_TARGET), "no arm named 'sampled-target'"),
    ],
)
def test_what_cannot_be_a_draw_is_refused(
    tmp_path: Path, wrong: SampleRecord, message: str
) -> None:
    room = store(tmp_path, drawn("law/a#1"), wrong)
    with pytest.raises(RecordsError, match=message):
        room.read()


def test_a_draw_that_failed_counts_until_it_came_after_all() -> None:
    evidence = make_drawn(make_generation(key="code/one#1"))
    lost = Failed(arm=SAMPLED, key="code/one#2", message="device lost")
    found = complete.check(msgspec.structs.replace(evidence, failures=(lost,)))
    assert found[0].headline == "sampled failed on 1 of 2 draws"
    assert (found[0].outcome, found[0].reason) == (Outcome.INCONCLUSIVE, Reason.MISSING)
    came = Failed(arm=SAMPLED, key="code/one#1", message="device lost")
    found = complete.check(msgspec.structs.replace(evidence, failures=(came,)))
    assert [finding.reason for finding in found] == [Reason.NOTHING_COMPARED]


def test_drawn_cases_are_left_to_the_distribution(tmp_path: Path) -> None:
    evidence = store(tmp_path).read()
    assert set(evidence.header.planned[SAMPLED]) == {case.key for case in CASES}
    assert coupled.check(evidence) == []
    without = msgspec.structs.replace(evidence.header, planned={})
    (finding,) = coupled.check(msgspec.structs.replace(evidence, header=without))
    assert finding.reason is Reason.NOT_COMPARABLE
