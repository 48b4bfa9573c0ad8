"""A suite whose distribution is tested, in pytest: one check of all draws, or none drawn."""

from __future__ import annotations

import json

import pytest

from equivcheck.cli import main as cli
from equivcheck.pipeline.draw_more import tokens_drawn
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.records_file import read_evidence
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.plugin.conftest import Project

SETTINGS = (
    'sampled_batch = 4\ncontrol = "none"\n[setup]\nbatch_size = 2\ncontext = 256\nthreads = 1\n'
)
REJECTING = "--equivcheck-candidate=native:gamma=4,rule=rejection"
TOKENS = 200


@pytest.fixture
def lawful(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    small = Profile(tokens=TOKENS, required=(Required("leak", 1.0),))
    monkeypatch.setitem(PROFILES, "default", small)
    (project.path / "suites/code.jsonl").unlink()
    for workload, distribution in (("law", True), ("plain", False)):
        header: dict[str, object] = {"equivcheck": 1, "workload": workload, "law": distribution}
        cases: list[dict[str, object]] = [
            {"id": "loop", "prompt": "for i in range(10):\n    print("},
            {"id": "warm", "prompt": "The moon rose over ", "sampling": {"temperature": 1.0}},
            {"id": "cool", "prompt": "Dear Anna, I ", "sampling": {"temperature": 0.7}},
        ]
        lines = [header, *(case | {"max_new_tokens": 24, "ignore_eos": True} for case in cases)]
        project.write(f"suites/{workload}.jsonl", "".join(f"{json.dumps(x)}\n" for x in lines))
    project.settings(SETTINGS)
    return project


def evidence(project: Project) -> Evidence:
    return read_evidence(project.path / "reports/latest")


def test_the_distribution_is_told_by_one_gate(lawful: Project) -> None:
    result = lawful.pytest("suites", "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "suites/law.jsonl::sampled PASSED*",
            "EQUIVALENT — speculative matched target token for token on 6 of 6 prompts (144 tokens)"
            " and drew 2?? tokens from the target's distribution",
        ]
    )
    assert "suites/plain.jsonl::sampled" not in result.stdout.str()
    assert evidence(lawful).header.planned[SAMPLED] == ("law/warm", "law/cool")


def test_where_the_gate_is_not_selected_nothing_is_drawn(lawful: Project) -> None:
    result = lawful.pytest("suites", "--deselect", "suites/law.jsonl::sampled")
    assert result.ret == 0
    assert SAMPLED not in evidence(lawful).header.planned


def test_cases_of_a_candidate_that_rejects_stand_with_the_distribution(lawful: Project) -> None:
    result = lawful.pytest("suites", REJECTING, "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["suites/law.jsonl::warm PASSED*", "suites/plain.jsonl::cool PASSED*"]
    )
    assert len(evidence(lawful).header.planned[SAMPLED]) == 4


def test_cases_of_a_broken_distribution_fall_with_it(lawful: Project) -> None:
    result = lawful.pytest("suites", f"{REJECTING},fault=skip-first-check")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "FAILED suites/law.jsonl::warm - wrong sampled distribution after *",
            "FAILED suites/law.jsonl::sampled - *",
        ]
    )


def test_a_finished_run_is_drawn_on_from_the_command_line(
    lawful: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lawful.path)
    only = ("--only", "law/*")
    assert cli.run(["run", *only, "--continue"]) == 2
    assert "--continue, but no run is there" in capsys.readouterr().err
    assert cli.run(["run", *only]) == 0
    before = tokens_drawn(evidence(lawful))
    capsys.readouterr()
    assert cli.run(["run", *only, "--continue"]) == 0
    shown = capsys.readouterr()
    after = tokens_drawn(evidence(lawful))
    assert after >= 2 * TOKENS
    assert f"going on with the finished run in reports/latest: {before} tokens" in shown.err
    assert f"{after} tokens are drawn now" in shown.err
    assert f"drew {after} tokens from the target's distribution" in " ".join(shown.out.split())
    assert cli.run(["run", "--continue", "--sampled", "none"]) == 2
    assert "settings.sampled is 'auto' there, None here" in capsys.readouterr().err
    assert cli.run(["run", "--continue", "--fresh"]) == 2
    assert "no --resume, no --fresh" in capsys.readouterr().err
