"""The log has a sample a case, letters that follow the verdict, and is read by inspect itself."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.verdict import judge
from equivcheck.core.load_suites import load_suite
from equivcheck.evaluations.read import read_evaluation
from equivcheck.records.records import CANDIDATE, Evidence, Failed, SuiteRef
from equivcheck.report.export.inspect_log import cases_of, inspect_log_of
from tests.unit.make import make_evidence
from tests.unit.report.export.make import timed_run
from tests.unit.report.test_report import make_run

CASES = """{"equivcheck": 1, "workload": "code"}
{"id": "c0", "prompt": "f("}
{"id": "c1", "messages": [{"role": "developer", "content": "b"}, {"role": "user", "content": "hi"}]}
"""


def log_of(evidence: Evidence) -> dict[str, object]:
    return inspect_log_of(evidence, judge(evidence))


def letters(evidence: Evidence) -> dict[str, str]:
    samples = log_of(evidence)["samples"]
    assert isinstance(samples, list)
    return {each["id"]: each["scores"]["equivcheck"]["value"] for each in samples if each["scores"]}


def test_a_case_that_parts_is_wrong_and_the_others_are_right() -> None:
    told = letters(make_run(parted=["code/c1", "chat/c0"]))
    assert {key for key, letter in told.items() if letter == "I"} == {"code/c1", "chat/c0"}
    assert set(letters(make_run()).values()) == {"C"}


def test_what_was_not_answered_is_not_right() -> None:
    evidence, key = make_run(), "code/c0"
    kept = {other: told for other, told in evidence.captured[CANDIDATE].items() if other != key}
    evidence = msgspec.structs.replace(evidence, captured={**evidence.captured, CANDIDATE: kept})
    failed = msgspec.structs.replace(
        evidence, failures=(Failed(arm=CANDIDATE, key=key, message="no"),)
    )
    sample = next(each for each in log_of(failed)["samples"] if each["id"] == key)  # type: ignore[attr-defined]
    assert sample["output"]["choices"] == []
    assert sample["error"]["message"] == "no"
    assert sample["scores"].get("equivcheck", {"value": "N"})["value"] == "N"


def test_prompts_are_those_of_the_suite_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "code.jsonl"
    path.write_text(CASES)
    suite = load_suite(path)
    told = SuiteRef(path=str(path), workload="code", digest=suite.digest, cases=2)
    evidence = make_run()
    evidence = msgspec.structs.replace(
        evidence, header=msgspec.structs.replace(evidence.header, suites=(told,))
    )
    first, second = log_of(evidence)["samples"][:2]  # type: ignore[index]
    assert first["input"] == "f("
    assert second["input"] == [
        {"role": "system", "content": "b"},
        {"role": "user", "content": "hi"},
    ]
    path.write_text(CASES.replace("f(", "g("))
    assert cases_of(evidence) == {}
    assert log_of(evidence)["samples"][0]["input"].startswith("3 token ids")  # type: ignore[index]


def test_the_comparison_of_evaluations_reads_it_back(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(log_of(timed_run())))
    task = read_evaluation(path)["run.json"]
    assert task["code/c0"][1].scores == {"equivcheck": 1.0, "exact": 1.0}
    assert task["chat/c1"][1].scores == {"equivcheck": 1.0, "exact": 0.0}


@pytest.mark.parametrize("evidence", [make_run(parted=["code/c1"]), make_evidence({})])
def test_inspect_s_own_reader_takes_it(tmp_path: Path, evidence: Evidence) -> None:
    log = pytest.importorskip("inspect_ai.log")
    path = tmp_path / "run.json"
    path.write_text(json.dumps(log_of(evidence)))
    read = log.read_eval_log(str(path))
    assert len(read.samples or []) == len(evidence.asked)
    assert read.eval.metadata["verdict"] == judge(evidence).outcome.value
