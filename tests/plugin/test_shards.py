"""Shards of a pytest session: each has its cases, none passes for the whole, all merge to it."""

from __future__ import annotations

import json

import pytest

from equivcheck.cli import main as cli
from equivcheck.records.records import CANDIDATE
from equivcheck.records.records_file import read_evidence
from tests.plugin.conftest import Project

TOY = "toy:gamma=2"


def shard(project: Project, number: int, *more: str) -> pytest.RunResult:
    return project.pytest("suites", f"--equivcheck-shard={number}/2", *more)


def test_shards_have_every_case_once_and_merge_to_the_session(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    cases: list[str] = []
    for number in (1, 2):
        result = shard(project, number, "-rs")
        assert result.ret == 0
        result.stdout.fnmatch_lines(["*equivcheck merge*"])
        found = read_evidence(project.path / f"reports/latest/shard-{number}-of-2")
        cases += found.captured[CANDIDATE]
        assert result.parseoutcomes()["passed"] == len(found.captured[CANDIDATE])
    assert sorted(cases) == ["code/one", "code/three", "code/two"]
    capsys.readouterr()
    assert cli.run(["merge", "reports/latest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == "pass"
    assert len(read_evidence(project.path / "reports/latest").captured[CANDIDATE]) == 3


def test_a_case_that_differs_fails_in_its_shard(project: Project) -> None:
    wrong = f"--equivcheck-candidate={TOY},wrong=two"
    failed = [shard(project, number, wrong).parseoutcomes().get("failed", 0) for number in (1, 2)]
    assert sorted(map(bool, failed)) == [False, True]
    assert cli.run(["merge", "reports/latest"]) == 1


def test_a_shard_that_is_missing_is_no_pass(project: Project) -> None:
    assert shard(project, 1).ret == 0
    assert cli.run(["merge", "reports/latest"]) == 2
