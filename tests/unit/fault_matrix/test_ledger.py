"""The ledger survives being killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.errors import RecordsError
from equivcheck.fault_matrix.ledger import LEDGER_NAME, append, read_ledger, write_ledger
from tests.unit.fault_matrix.make import make_result


def test_results_come_back_the_latest_of_each(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == {}
    first, again, other = (
        make_result(),
        make_result(headline="again"),
        make_result(id="other", seed=3),
    )
    for result in (first, other, again):
        append(tmp_path, result)
    assert read_ledger(tmp_path) == {("no-trim", 0): again, ("other", 3): other}


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    append(tmp_path, make_result())
    path = tmp_path / LEDGER_NAME
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    assert list(read_ledger(tmp_path)) == [("no-trim", 0)]


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    append(tmp_path, make_result())
    path = tmp_path / LEDGER_NAME
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(RecordsError, match=r"ledger\.jsonl:2: .* delete the file to start anew"):
        read_ledger(tmp_path)


def test_it_can_be_replaced(tmp_path: Path) -> None:
    append(tmp_path, make_result())
    write_ledger(tmp_path, [make_result(id="other")])
    assert list(read_ledger(tmp_path)) == [("other", 0)]
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER_NAME]
