"""Where nothing contains or limits a child, grading is an error and never a grade."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from equivcheck.core.graders import GradingError, Json, Python, Regex
from equivcheck.grading import bubblewrap, sandbox
from equivcheck.grading.grade import grade
from tests.unit.grading.contained import needs_bubblewrap


@pytest.mark.parametrize(
    ("executable", "why"),
    [
        ("/bin/false", "does not start: no word from it"),
        ("/bin/echo", "does not start: .*-I -S"),
        ("/nowhere/python", "does not start: .*No such file"),
    ],
)
def test_a_child_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, executable: str, why: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(GradingError, match=why):
        grade("a", grader=Regex("a"))


def test_without_jsonschema_a_schema_cannot_be_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = [path for path in sys.path if not path.endswith("-packages")]
    monkeypatch.setattr(sys, "path", bare)
    with pytest.raises(GradingError, match="graded here: No module named 'jsonschema'"):
        grade("{}", grader=Json(schema={}))
    assert grade("{}", grader=Json()).passed


CODE = Python(tests="assert True or wanted()")


def test_without_bubblewrap_no_code_is_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GradingError, match=r"only in bubblewrap, .* apt-get install bubblewrap"):
        grade("open('/tmp/ran', 'w')", grader=CODE)
    assert grade("{}", grader=Json()).passed


def test_where_bubblewrap_may_not_run_its_words_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refused = tmp_path / "bwrap"
    refused.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied'; exit 1\n")
    refused.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(GradingError, match="does not start: bwrap: setting up uid map"):
        grade("pass", grader=CODE)


def test_root_needs_setpriv_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(bubblewrap, "_found", lambda tool: "/usr/bin/bwrap" * (tool == "bwrap"))
    with pytest.raises(GradingError, match="as root, code is graded only with setpriv"):
        grade("pass", grader=CODE)


@needs_bubblewrap
def test_a_limit_without_effect_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = "import resource; resource.setrlimit = lambda which, value: None\n"
    command = sandbox._python()
    monkeypatch.setattr(sandbox, "_python", lambda: [*command[:-1], deaf + command[-1]])
    with pytest.raises(GradingError, match="a process limit has no effect"):
        grade("pass", grader=CODE)
