"""Tests of finding runs and of what becomes of one that is there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.subjects import repeat_command
from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Case
from equivcheck.core.errors import EquivcheckError, OtherRunError, RecordsError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import TARGET, Header, SuiteRef
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, read_evidence
from equivcheck.records.run_folder import (
    LOCK_NAME,
    clear,
    find_run,
    is_unfinished,
    lock,
    make_room,
    name_by_folder,
    set_aside,
)
from tests.unit.make import make_evidence, make_generation, make_header, suite_of

SUITE = suite_of((Case(id="one", prompt="a"), Case(id="two", prompt="b")), digest="d1")
KEYS = ("code/one", "code/two")


def diverged(repeat: str | None) -> Finding:
    return Finding(
        check="greedy",
        subject="code/one",
        outcome=Outcome.FAIL,
        reason=Reason.DIVERGED,
        headline="diverged",
        repeat=repeat,
    )


def header(*, digest: str = "d1") -> Header:
    refs = (SuiteRef(path=SUITE.path, workload="code", digest=digest, cases=2),)
    return make_header(planned={TARGET: KEYS}, suites=refs)


def store(folder: Path, *, finished: bool = False, stored: Header | None = None) -> Path:
    path = folder / RECORDS_NAME
    with RecordsWriter.create(path, stored or header()) as writer:
        if finished:
            verdict = Verdict(outcome=Outcome.PASS, headline="EQUIVALENT", findings=())
            writer.append(verdict.sealed())
    return path


def test_a_run_is_found_by_file_folder_and_id(tmp_path: Path) -> None:
    path = store(tmp_path / "reports" / "latest")
    assert find_run(str(path)) == path
    assert find_run(str(path.parent)) == path
    assert find_run("run-1", reports=tmp_path / "reports") == path


def test_a_wrong_run_id_gets_a_suggestion(tmp_path: Path) -> None:
    store(tmp_path / "latest")
    with pytest.raises(RecordsError, match=r"no run named 'run-2' \(did you mean 'run-1'\?\)"):
        find_run("run-2", reports=tmp_path)


def test_a_folder_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"no records\.jsonl in this folder"):
        find_run(str(tmp_path))


def test_unreadable_neighbours_do_not_hide_a_run(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / RECORDS_NAME).write_bytes(b"\xff{")
    path = store(tmp_path / "latest")
    assert find_run("run-1", reports=tmp_path) == path


def test_an_empty_folder_has_room(tmp_path: Path) -> None:
    assert make_room(tmp_path, Settings(), [SUITE]) == "new"


def test_a_finished_run_stays_until_it_is_cleared_with_its_report_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = store(tmp_path, finished=True)
    (tmp_path / "report.txt").write_text("EQUIVALENT")
    (tmp_path / "thesis.doc").write_text("mine")
    assert make_room(tmp_path, Settings(), [SUITE]) == "new"
    assert read_evidence(path).sealed
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_an_unfinished_run_of_the_same_is_resumed_and_kept(tmp_path: Path) -> None:
    path = store(tmp_path)
    before = path.read_bytes()
    assert make_room(tmp_path, Settings(), [SUITE]) == "resumed"
    assert path.read_bytes() == before


def test_an_unfinished_run_whose_profile_requires_events_is_resumed(tmp_path: Path) -> None:
    asked = Settings(profile="release")
    store(tmp_path, stored=msgspec.structs.replace(header(), settings=asked.in_full()))
    assert make_room(tmp_path, asked, [SUITE]) == "resumed"


def test_a_run_killed_in_its_header_starts_anew(tmp_path: Path) -> None:
    path = store(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    assert not is_unfinished(tmp_path)
    assert make_room(tmp_path, Settings(), [SUITE]) == "new"


def test_fresh_goes_on_with_nothing(tmp_path: Path) -> None:
    path = store(tmp_path)
    assert make_room(tmp_path, Settings(), [SUITE], fresh=True) == "new"
    assert path.exists()


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = store(tmp_path)
    wanted = Settings(setup=EngineSetup(dtype="bfloat16"))
    with pytest.raises(
        match=r"settings\.setup\.dtype is 'float32' there, 'bfloat16' here",
    ):
        make_room(tmp_path, wanted, [SUITE])
    assert path.exists()


def test_another_selection_is_named(tmp_path: Path) -> None:
    store(tmp_path)
    fewer = suite_of(SUITE.cases[:1], digest="d1")
    with pytest.raises(OtherRunError, match="other cases: code/two is one of them"):
        make_room(tmp_path, Settings(), [fewer])


def test_a_changed_suite_is_named(tmp_path: Path) -> None:
    store(tmp_path, stored=header(digest="d0"))
    with pytest.raises(OtherRunError, match=r"suites\[0\]\.digest"):
        make_room(tmp_path, Settings(), [SUITE])


def test_a_run_set_aside_can_still_be_read(tmp_path: Path) -> None:
    store(tmp_path / "latest")
    aside = set_aside(tmp_path / "latest")
    assert aside.name == "latest-unfinished-20260102T030405Z"
    assert read_evidence(aside).header.run == "run-1"
    assert not (tmp_path / "latest" / RECORDS_NAME).exists()


def test_a_held_folder_is_refused(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(RecordsError, match="another process"), lock(tmp_path):
        pass
    with lock(tmp_path):
        assert tmp_path.is_dir()


@pytest.mark.parametrize(
    ("folder", "reason"), [("/dev/null", "not a folder"), ("/dev/null/x", "Not a directory")]
)
def test_a_folder_that_cannot_be_made_is_named_with_the_reason(folder: str, reason: str) -> None:
    message = f"^{folder}: cannot be written: {reason}$"
    with pytest.raises(EquivcheckError, match=message), lock(Path(folder)):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).mkdir()
    message = f"^{tmp_path}: cannot be written: "
    with pytest.raises(EquivcheckError, match=message), lock(tmp_path):
        pass


@pytest.mark.parametrize(
    ("repeat", "named"),
    [
        ("equivcheck replay run-1 code/one", "equivcheck replay 'my runs' code/one"),
        ("equivcheck judge run-1", "equivcheck judge 'my runs'"),
        ("make gate", "make gate"),
        (None, None),
    ],
)
def test_repeat_commands_name_the_folder(
    repeat: str | None, named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_by_folder(diverged(repeat), tmp_path / "my runs").repeat == named


def test_a_command_can_be_pasted_whatever_the_records_say(tmp_path: Path) -> None:
    evidence = make_evidence({TARGET: [make_generation()]}, run="x; rm -rf ~")
    repeat = repeat_command(evidence, "code/one")
    assert repeat == "equivcheck replay 'x; rm -rf ~' code/one"
    assert (
        name_by_folder(diverged(repeat), tmp_path).repeat
        == f"equivcheck replay {tmp_path} code/one"
    )
