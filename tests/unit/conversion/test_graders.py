"""The graders that published problems get: they can fail, and a right answer passes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from equivcheck.conversion.convert import Wanted, convert
from equivcheck.conversion.losses import LeftOutError
from equivcheck.conversion.questions import last_number
from equivcheck.core.load_suites import load_suite
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import skip_where_uncontained


@pytest.mark.parametrize("answer", ["so 70,000 dollars.", "#### 70000", "12 + 3 = $70,000.00\n"])
def test_the_last_number_is_right_however_it_is_written(answer: str) -> None:
    assert re.fullmatch(last_number("because. #### 70,000")["pattern"], answer)


@pytest.mark.parametrize(
    "answer",
    ["170000", "70000.5", "700000", "70,000 and 1", "-70000", "seventy thousand", "7,0000"],
)
def test_another_last_number_is_wrong(answer: str) -> None:
    assert not re.fullmatch(last_number("#### 70,000")["pattern"], answer)


def test_negative_and_broken_numbers() -> None:
    assert re.fullmatch(last_number("#### -3.50")["pattern"], "it is -3.5")
    assert not re.fullmatch(last_number("#### -3")["pattern"], "it is 3")
    with pytest.raises(LeftOutError, match="no number"):
        last_number("#### none")


def test_humaneval_is_decided_by_its_own_tests(tmp_path: Path) -> None:
    file = tmp_path / "HumanEval.jsonl"
    problem = {
        "task_id": "HumanEval/0",
        "prompt": 'def twice(x: int) -> int:\n    """ Twice x. """\n',
        "entry_point": "twice",
        "canonical_solution": "    return 2 * x\n",
        "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n\n",
    }
    file.write_text(json.dumps(problem) + "\n")
    made = convert(file, Wanted())
    suite = tmp_path / "suite.jsonl"
    suite.write_text(made.suites[0].text)
    [case] = load_suite(suite).cases
    assert (case.id, made.suites[0].workload) == ("humaneval-0", "humaneval")
    assert case.grader is not None
    skip_where_uncontained(case.grader)
    assert grade("    return 2 * x\n", grader=case.grader).passed
    assert not grade("    return x\n", grader=case.grader).passed
