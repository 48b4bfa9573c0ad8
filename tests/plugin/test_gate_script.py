"""The script of the GitHub Action, run here: exit codes, JUnit, comparison, and the one comment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

from tests.unit.source import ROOT

SUITE = (
    '{"equivcheck": 1, "workload": "w"}\n'
    '{"id": "a", "prompt": "The harbour was quiet and", "max_new_tokens": 24}\n'
    '{"id": "b", "prompt": "def area(w, h):", "max_new_tokens": 24}\n'
)
ARGUMENTS = ("--set", "sampled=none", "--set", "control=none", "--threads", "1")
FAKE_GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$GH_LOG"
for each in "$@"; do case "$each" in body=@*) cp "${each#body=@}" "$GH_BODY";; esac; done
case "$*" in *--jq*) printf '%s' "$GH_FOUND";; esac
"""
Gate = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("git") is None, reason="needs bash and git"
)


def git(*arguments: str, folder: Path) -> None:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone of a repository with a suite; its base branch is main."""
    origin = tmp_path / "origin"
    (origin / "suites").mkdir(parents=True)
    (origin / "suites" / "w.jsonl").write_text(SUITE)
    git("init", folder=origin)
    git("add", ".", folder=origin)
    git("commit", "-m", "begin", folder=origin)
    git("clone", str(origin), str(tmp_path / "clone"), folder=tmp_path)
    return tmp_path / "clone"


@pytest.fixture
def gate(repository: Path, tmp_path: Path) -> Gate:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(FAKE_GH)
    (tools / "equivcheck").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m equivcheck "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        given = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "EQUIVCHECK_ARGUMENTS": "\n".join((*ARGUMENTS, *arguments, "")),
            "EQUIVCHECK_OUT": "reports/latest",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GH_LOG": str(tmp_path / "gh.log"),
            "GH_BODY": str(tmp_path / "body.md"),
            "GH_FOUND": "",
        }
        return subprocess.run(
            ["bash", str(ROOT / "ci" / "gate.sh")],
            cwd=repository,
            env=given | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def save_baseline(repository: Path, tmp_path: Path) -> None:
    """Save the run as the base branch's baseline."""
    run = (sys.executable, "-m", "equivcheck", "baseline", "save", "reports/latest")
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(run, cwd=repository, check=True, capture_output=True, env=variables)
    kept = repository / ".equivcheck" / "baselines" / "main.json"
    place = tmp_path / "origin" / ".equivcheck" / "baselines" / "main.json"
    place.parent.mkdir(parents=True)
    shutil.move(kept, place)
    git("add", ".", folder=tmp_path / "origin")
    git("commit", "-m", "save", folder=tmp_path / "origin")


def test_a_sound_decoder_passes_and_is_compared_with_the_base_branch(
    gate: Gate, repository: Path, tmp_path: Path
) -> None:
    done = gate(EQUIVCHECK_BASELINE="main", GITHUB_BASE_REF="main")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "main has no .equivcheck/baselines/main.json" in done.stdout
    assert not (tmp_path / "gh.log").exists()
    suite = parse(repository / "reports/latest/junit.xml").getroot()
    assert suite is not None
    assert int(suite.get("tests", "0")) > 0
    save_baseline(repository, tmp_path)
    done = gate(
        EQUIVCHECK_BASELINE="main",
        GITHUB_BASE_REF="main",
        EQUIVCHECK_COMMENT="true",
        EQUIVCHECK_PULL="7",
        GH_FOUND="41",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    body = (tmp_path / "body.md").read_text()
    assert body.startswith("<!-- equivcheck -->\n")
    assert body.index("SAME OR BETTER") < body.index("EQUIVALENT")
    assert "PATCH repos/o/r/issues/comments/41" in (tmp_path / "gh.log").read_text()
    assert "exit-code=0" in (tmp_path / "output").read_text()
    slower = ("--candidate", "native:gamma=4,fault=stale-draft-cache")
    done = gate(*slower, EQUIVCHECK_BASELINE="main", GITHUB_BASE_REF="main")
    # All tokens are right, and fewer drafts: of two prompts that proves no regress, and is no pass.
    assert done.returncode == 3, done.stdout + done.stderr
    assert "INCONCLUSIVE" in (repository / "reports/latest/comparison.md").read_text()


def test_a_broken_decoder_fails_and_the_comment_says_so(gate: Gate, tmp_path: Path) -> None:
    done = gate(
        *("--candidate", "native:gamma=4,fault=skip-first-check"),
        EQUIVCHECK_COMMENT="true",
        EQUIVCHECK_PULL="7",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT EQUIVALENT" in (tmp_path / "body.md").read_text()
    assert "POST repos/o/r/issues/7/comments" in (tmp_path / "gh.log").read_text()


def test_what_cannot_run_is_said_and_no_text_is_read_as_shell(gate: Gate, tmp_path: Path) -> None:
    done = gate(
        EQUIVCHECK_SUITES='suites/$(touch "$GH_BODY.evil")\n',
        EQUIVCHECK_COMMENT="true",
        EQUIVCHECK_PULL="7",
    )
    assert done.returncode == 2
    assert not (tmp_path / "body.md.evil").exists()
    assert "could not run" in (tmp_path / "body.md").read_text()
    assert "exit-code=2" in (tmp_path / "output").read_text()
