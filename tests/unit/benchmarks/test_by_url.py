"""The table of faults behind a URL: what is not as said is marked, and decides the exit code."""

from __future__ import annotations

from typing import Any

from benchmarks.by_url import EVIDENCE, FAIL, PASS, SAID, Said, as_said, make_suites, page
from equivcheck.faults.catalogue import find

LOST = Said("bonus-lost", FAIL, FAIL, "draws differ")


def result(outcome: str, *checks: str) -> dict[str, Any]:
    return {"outcome": outcome, "checks": checks, "headline": "WORD", "drawn": 9, "seconds": 1}


def of(said: Said, scores: dict[str, Any], tokens: dict[str, Any]) -> dict[str, Any]:
    return {f"{said.name} by scores": scores, f"{said.name} by tokens": tokens}


def test_ten_faults_of_the_catalogue_and_a_sound_server() -> None:
    faults = [each.name for each in SAID if each.name != "sound"]
    assert len(faults) == len(set(faults)) == 10
    assert all(find(name).breaks != "nothing" for name in faults)


def test_a_fault_has_to_be_caught_by_the_check_that_the_catalogue_names() -> None:
    assert as_said(LOST, of(LOST, result(FAIL, "greedy", "sampled"), result(FAIL, "sampled")))
    assert not as_said(LOST, of(LOST, result(FAIL, "sampled"), result(FAIL, "sampled")))
    assert not as_said(LOST, of(LOST, result(FAIL, "greedy"), result(PASS)))
    assert not as_said(LOST, {})


def test_the_page_marks_what_is_not_as_said_and_what_was_not_run() -> None:
    told = "\n".join(page(of(LOST, result(FAIL, "greedy"), result(PASS))))
    (row,) = [line for line in told.splitlines() if line.startswith("| `bonus-lost`")]
    assert "not equivalent (greedy) | equivalent |" in row
    assert row.endswith("| **no** |")
    assert told.count("not run | not run") == len(SAID) - 1
    assert told.count("**no**") == 1


def test_drawn_cases_are_short_and_both_kinds_of_evidence_are_asked() -> None:
    smoke, sampled = make_suites()
    assert max(case.max_new_tokens for case in sampled.cases) == 16
    assert sampled.distribution
    assert smoke.workload == "smoke"
    assert EVIDENCE == ("scores", "tokens")
