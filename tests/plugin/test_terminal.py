"""Whole terminals, as a user meets them."""

from __future__ import annotations

from syrupy.assertion import SnapshotAssertion

from tests.plugin.conftest import Project

TOY = "toy:gamma=2"


def test_all_is_well(project: Project, snapshot: SnapshotAssertion) -> None:
    result = project.pytest("suites")
    assert result.ret == 0
    assert project.shown(result.stdout.str()) == snapshot


def test_a_divergence_reads_well(project: Project, snapshot: SnapshotAssertion) -> None:
    result = project.pytest("suites", f"--equivcheck-candidate={TOY},wrong=two")
    assert result.ret == 1
    assert project.shown(result.stdout.str()) == snapshot


def test_not_knowing_fails_and_says_so(project: Project, snapshot: SnapshotAssertion) -> None:
    result = project.pytest("suites", "--equivcheck-candidate=toy:gamma=0")
    assert result.ret == 1
    assert project.shown(result.stdout.str()) == snapshot


def test_a_crash_on_one_case_is_an_error(project: Project, snapshot: SnapshotAssertion) -> None:
    result = project.pytest("suites", f"--equivcheck-candidate={TOY},crash=two")
    assert result.ret == 1
    assert project.shown(result.stdout.str()) == snapshot


def test_a_crash_on_every_case_is_said_once_an_item(
    project: Project, snapshot: SnapshotAssertion
) -> None:
    result = project.pytest("suites", f"--equivcheck-candidate={TOY},crash=code")
    assert result.ret == 1
    result.assert_outcomes(errors=11)
    assert project.shown(result.stdout.str()) == snapshot


def test_a_partial_selection_gives_no_verdict(
    project: Project, snapshot: SnapshotAssertion
) -> None:
    result = project.pytest("suites", "-k", "two")
    assert result.ret == 0
    assert project.shown(result.stdout.str()) == snapshot


def test_a_broken_suite_is_a_collection_error(
    project: Project, snapshot: SnapshotAssertion
) -> None:
    project.write("suites/code.jsonl", '{"equivcheck": 1, "worklod": "code"}\n')
    result = project.pytest("suites")
    assert result.ret == 2
    assert project.shown(result.stdout.str()) == snapshot
