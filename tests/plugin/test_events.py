"""Events that are required have a gate of their own; without requirements there is none."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project


def test_there_is_no_gate_where_nothing_is_required(project: Project) -> None:
    assert "::events" not in project.pytest("suites", "--collect-only", "-q").stdout.str()


def test_a_missing_event_is_inconclusive(project: Project) -> None:
    result = project.pytest("suites", "--equivcheck-set=require_events=refilled-row,near-tie")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["FAILED suites/code.jsonl::events - *INCONCLUSIVE*"])
    assert "required events not exercised" in result.stdout.str()


def test_what_was_exercised_passes(project: Project) -> None:
    result = project.pytest("suites", "--equivcheck-set=require_events=all-accepted-greedy", "-v")
    result.stdout.fnmatch_lines(["suites/code.jsonl::events PASSED*"])
    assert result.ret == 0


def test_a_misspelt_event_stops_the_session(project: Project) -> None:
    result = project.pytest("suites", "--equivcheck-set=require_events=near-ties")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*require_events:*near-ties*did you mean 'near-tie'*"])
