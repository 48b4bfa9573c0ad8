"""What a run's answers are graded by, what is written down, and what is not done twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import RecordsError
from equivcheck.core.generation import FinishReason
from equivcheck.core.graders import Exact, Graded, Grader, GradingError, Json, Python
from equivcheck.core.settings import Settings
from equivcheck.grading import answers
from equivcheck.grading.answers import answer_of, grade_answers
from equivcheck.records.records import CANDIDATE, TARGET, GenerationRecord, Grade
from equivcheck.records.records_file import RecordsWriter, read_evidence
from tests.unit.grading.contained import needs_bubblewrap
from tests.unit.make import (
    make_asked,
    make_captured,
    make_generation,
    make_header,
    make_request,
    suite_of,
)

KEY = "code/one"


def captured(arm: str, text: str, *, finish: FinishReason = "length") -> GenerationRecord:
    answer = make_captured(arm, make_generation(key=KEY, finish_reason=finish))
    return msgspec.structs.replace(answer, text=text)


def suite(grader: Grader | None) -> Suite:
    return suite_of((Case(id="one", prompt="x", grader=grader),))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def write(path: Path, *texts: str, settings: Settings | None = None) -> None:
    with RecordsWriter.create(path, make_header(settings=settings)) as writer:
        writer.append(make_asked(make_request(KEY)))
        for arm, text in zip((TARGET, CANDIDATE), texts, strict=False):
            writer.append(captured(arm, text))


def results(path: Path) -> dict[str, str]:
    return {grade.arm: grade.result for grade in read_evidence(path).grades}


def test_both_arms_are_graded_and_told(records: Path) -> None:
    write(records, "yes", "no")
    told: list[tuple[str, int, int]] = []
    grade_answers(records, [suite(Exact("yes"))], progress=lambda *step: told.append(step))
    assert results(records) == {TARGET: "right", CANDIDATE: "wrong"}
    assert told == [("grading", 1, 2), ("grading", 2, 2)]
    second = read_evidence(records).grades[1]
    assert second == Grade(
        key=KEY, arm=CANDIDATE, grader="exact", result="wrong", why="is 'no', not 'yes'"
    )


def test_equal_texts_are_graded_once_and_nothing_twice(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graded: list[str] = []

    def grade(text: str, *, grader: Grader) -> Graded:
        graded.append(text)
        return Graded(len(graded) == 1, "only the first")

    monkeypatch.setattr(answers, "grade", grade)
    write(records, "same", "same")
    for _ in range(2):
        grade_answers(records, [suite(Exact("yes"))])
    assert graded == ["same"]
    assert results(records) == {TARGET: "right", CANDIDATE: "right"}


def test_without_graders_the_file_is_not_touched(records: Path) -> None:
    write(records, "yes", "no")
    before = records.read_bytes()
    grade_answers(records, [suite(None)])
    assert records.read_bytes() == before


def test_an_arm_that_did_not_answer_is_not_graded(records: Path) -> None:
    write(records, "yes")
    grade_answers(records, [suite(Exact("yes"))])
    assert results(records) == {TARGET: "right"}


@needs_bubblewrap
def test_code_runs_only_where_the_settings_allow_it(tmp_path: Path) -> None:
    grader = Python(tests="assert answer == 42")
    for allowed, expected in ((False, "off"), (True, "right")):
        path = tmp_path / f"{allowed}.jsonl"
        write(path, "answer = 42", settings=Settings(grade_code=allowed))
        grade_answers(path, [suite(grader)])
        assert results(path) == {TARGET: expected}


def test_a_grader_that_breaks_is_written_down_and_tried_again(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(text: str, *, grader: Grader) -> Graded:
        raise GradingError("no sandbox here")

    write(records, "{}")
    with monkeypatch.context() as broken:
        broken.setattr(answers, "grade", refuse)
        grade_answers(records, [suite(Json())])
    assert [(grade.result, grade.why) for grade in read_evidence(records).grades] == [
        ("broken", "no sandbox here")
    ]
    grade_answers(records, [suite(Json())])
    assert results(records) == {TARGET: "right"}


def test_a_grade_of_what_was_never_answered_is_refused(records: Path) -> None:
    write(records, "yes")
    lost = Grade(key=KEY, arm=CANDIDATE, grader="exact", result="right", why="?")
    writer, _ = RecordsWriter.resume(records, make_header())
    with writer:
        writer.append(lost)
    with pytest.raises(RecordsError, match="grades candidate's answer to 'code/one', which it has"):
        read_evidence(records)


@pytest.mark.parametrize(
    ("finish", "text"),
    [("stop", "SELECT 1"), ("length", "SELECT 1;\nx"), ("eos", "SELECT 1;\nx")],
)
def test_a_stop_string_and_what_follows_are_not_the_answer(finish: FinishReason, text: str) -> None:
    request = make_request(KEY, stop=("\n", ";"))
    assert answer_of(captured(TARGET, "SELECT 1;\nx", finish=finish), request) == text


def test_a_stop_token_leaves_the_whole_text() -> None:
    assert answer_of(captured(TARGET, "done", finish="stop"), make_request(KEY)) == "done"
