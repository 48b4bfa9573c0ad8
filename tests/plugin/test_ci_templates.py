"""The Action, the GitLab template and the pre-commit hook: what they declare fits what they run."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit.source import ROOT

EXPRESSION = re.compile(r"\$\{\{\s*([a-z_.-]+)\s*\}\}")
KNOWN = ("inputs", "github", "runner", "steps")


def parsed(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def action() -> Any:
    return parsed("action.yml")


def test_every_expression_of_the_action_names_something(action: Any) -> None:
    found = EXPRESSION.findall((ROOT / "action.yml").read_text(encoding="utf-8"))
    named = {each.partition(".")[2] for each in found if each.startswith("inputs.")}
    assert named == set(action["inputs"])
    assert {each.partition(".")[0] for each in found} <= set(KNOWN)
    assert all("description" in each for each in action["inputs"].values())


def test_no_shell_of_the_action_reads_an_expression(action: Any) -> None:
    """A pull request's title or branch, put into a script, would be run."""
    runs = [step for step in action["runs"]["steps"] if "run" in step]
    assert len(runs) == 2
    for step in runs:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
    assert action["runs"]["using"] == "composite"
    for step in action["runs"]["steps"]:
        assert ("run" in step) != ("uses" in step)


def test_the_script_gets_every_variable_that_it_reads(action: Any) -> None:
    script = (ROOT / "ci" / "gate.sh").read_text(encoding="utf-8")
    code = "\n".join(line for line in script.splitlines() if not line.startswith("#"))
    read = set(re.findall(r"EQUIVCHECK_[A-Z]+", code))
    [gate] = [step for step in action["runs"]["steps"] if step.get("id") == "gate"]
    assert read == {name for name in gate["env"] if name.startswith("EQUIVCHECK_")}
    subprocess.run(["bash", "-n", str(ROOT / "ci" / "gate.sh")], check=True)


def test_gitlab_runs_the_gate_and_keeps_junit() -> None:
    job = parsed("ci/gitlab.yml")[".equivcheck"]
    assert 'equivcheck run "$EQUIVCHECK_SUITES" --out reports/latest' in job["script"]
    [after] = job["after_script"]
    assert job["artifacts"]["reports"]["junit"] in after
    assert job["artifacts"]["when"] == "always"
    used = set(re.findall(r"\$(EQUIVCHECK_[A-Z]+)", str(job)))
    assert used <= set(job["variables"])


def test_the_hook_checks_suites_and_nothing_else() -> None:
    [hook] = parsed(".pre-commit-hooks.yaml")
    assert hook["entry"] == "equivcheck suite check"
    assert re.search(hook["files"], "suites/code.jsonl")
    assert not re.search(hook["files"], "data/code.jsonl")
    assert hook["language"] == "python"
