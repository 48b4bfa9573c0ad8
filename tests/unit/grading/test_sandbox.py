"""Where the sandbox does not hold, grading is an error and never a grade."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from equivcheck.core.graders import GradingError, Json, Regex
from equivcheck.grading.grade import grade


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


def test_a_limit_without_effect_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deaf = tmp_path / "python"
    deaf.write_text(
        f"""#!/bin/sh
exec {sys.executable} -I -S -c "import resource
resource.setrlimit = lambda which, value: None
$(for last; do :; done; echo "$last")"
""",
        encoding="utf-8",
    )
    deaf.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(deaf))
    with pytest.raises(GradingError, match="a process limit has no effect"):
        grade("a", grader=Regex("a"))
