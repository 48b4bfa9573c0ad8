"""Arms whose engines were opened after the header was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from equivcheck.core.bounds import MOST_DRAFTED
from equivcheck.core.errors import RecordsError
from equivcheck.records.records import TARGET, ArmOpened
from equivcheck.records.records_file import RecordsWriter, interrupted_evidence, read_evidence
from tests.unit.make import make_capabilities, make_header

HEADER = make_header(order="one at a time")
TOLD = make_capabilities(engine="late:gamma=0", exclusive=True)


def test_what_an_engine_said_later_stands_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordsWriter.create(path, HEADER) as writer:
        writer.append(ArmOpened(arm=TARGET, capabilities=TOLD))
    evidence = read_evidence(path)
    assert evidence.header == replace(HEADER, arms=HEADER.arms | {TARGET: TOLD})
    assert evidence == interrupted_evidence(path)
    writer, again = RecordsWriter.resume(path, evidence.header)
    writer.close()
    assert again.header == evidence.header


def test_what_can_be_gone_on_with_may_be_nothing(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert interrupted_evidence(path) is None
    path.write_bytes(b'{"type":"head')
    assert interrupted_evidence(path) is None


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (ArmOpened(arm="traget", capabilities=TOLD), r":2: arm: no arm named 'traget' \(did you"),
        (
            ArmOpened(
                arm=TARGET, capabilities=replace(TOLD, num_speculative_tokens=MOST_DRAFTED + 1)
            ),
            r":2: arms\.target\.num_speculative_tokens is",
        ),
    ],
)
def test_what_no_engine_can_have_said_is_refused(
    tmp_path: Path, record: ArmOpened, told: str
) -> None:
    path = tmp_path / "records.jsonl"
    with RecordsWriter.create(path, HEADER) as writer:
        writer.append(record)
    with pytest.raises(RecordsError, match=told):
        read_evidence(path)
