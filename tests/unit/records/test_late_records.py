"""A run takes the place of the one before it with its first answer, and not earlier."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from equivcheck.core.errors import EquivcheckError
from equivcheck.records.records import TARGET
from equivcheck.records.records_file import RecordsWriter, read_evidence
from tests.unit.records.test_records_file import EVIDENCE, HEADER, KEYS, write


def test_a_late_file_begins_with_its_first_answer_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    content = write(path)
    with (
        suppress(KeyboardInterrupt),
        RecordsWriter.later(path, HEADER, make_way=path.unlink) as writer,
    ):
        writer.append(*EVIDENCE[:2])
        raise KeyboardInterrupt
    assert path.read_bytes() == content
    with RecordsWriter.later(path, HEADER, make_way=path.unlink) as writer:
        writer.append(*EVIDENCE[:2])
        writer.append(EVIDENCE[2])
        assert tuple(read_evidence(path).captured[TARGET]) == KEYS[:1]
        writer.append(*EVIDENCE[3:])
    assert content.startswith(path.read_bytes())
    assert [each.name for each in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_late_file_that_is_over_has_begun(tmp_path: Path) -> None:
    with RecordsWriter.later(tmp_path / "r.jsonl", HEADER, make_way=lambda: None):
        pass
    assert read_evidence(tmp_path / "r.jsonl").header == HEADER


def test_what_is_there_stays_where_a_late_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    content = write(path)
    (tmp_path / ".r.jsonl.part").mkdir()
    writer = RecordsWriter.later(path, HEADER, make_way=path.unlink)
    with pytest.raises(EquivcheckError, match=f"^{path}: cannot be written: Is a directory$"):
        writer.append(*EVIDENCE)
    assert path.read_bytes() == content
