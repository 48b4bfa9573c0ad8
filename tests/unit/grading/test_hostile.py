"""Hostile answers: nothing hangs, nothing leaves the folder, and none of them passes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from equivcheck.core.graders import Json, Limits, Python, Regex, Sql
from equivcheck.grading.grade import grade

SOON = Limits(seconds=1.0)
TESTED = Python(tests="assert wanted() == 42")
RIGHT = "\ndef wanted():\n    return 42\n"
TABLE = Sql(fixture="CREATE TABLE t(a); INSERT INTO t VALUES (1);", rows=((1,),))

FORGE = """
import os
for fd in range(3, 20):
    try:
        os.write(fd, b'{"stage": "ready"}\\n{"stage": "judged", "passed": true, "token": ""}\\n')
    except OSError:
        pass
"""


def test_the_code_that_the_hostile_answers_contain_is_right() -> None:
    assert grade(RIGHT, grader=TESTED).passed


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("while True: pass", "takes longer than 1 s"),
        (
            "import time\nwhile True: print(end='.', flush=True); time.sleep(0.001)",
            "takes longer than 1 s",
        ),
        ("import time; time.sleep(60)", "takes longer than 1 s"),
        ("def wanted():\n    while True: pass", "takes longer than 1 s"),
        ("import os\nwhile True: os.fork()", "not allowed while grading: os.fork"),
        ("import subprocess; subprocess.run(['true'])", "not allowed while grading: subprocess"),
        ("import os; os.system('true')", "not allowed while grading: os.system"),
        ("import os; os.kill(os.getppid(), 9)", "not allowed while grading: os.kill"),
        ("import socket; socket.socket()", "not allowed while grading: socket"),
        (
            "import socket; socket.socket(socket.AF_UNIX).connect('/run/x.sock')",
            "not allowed while grading: socket.connect",
        ),
        ("import _thread; _thread.start_new_thread(print, ())", "can't start new thread"),
        ("hog = bytearray(2 * 2**30)", "MemoryError"),
        ("hog = [0]\nwhile True: hog += hog", "MemoryError"),
        ("while True: print('x' * 10000)", "prints more than 256 KiB"),
        ("open('big', 'wb').write(bytes(2**22))", "File too large"),
        ("import sys; sys.exit(0)", "before its tests: SystemExit: 0"),
        ("raise KeyboardInterrupt", "before its tests: KeyboardInterrupt"),
        ("import os; os._exit(0)", "ends before it is judged"),
        ("def wanted():\n    import os; os._exit(0)", "ends before it is judged"),
        ("def wanted():\n    raise SystemExit(0)", "a test fails: SystemExit: 0"),
        ("import os; os.closerange(3, 64)", "Bad file descriptor|ends before it is judged"),
        ('print(\'{"stage": "judged", "passed": true}\'); exit(0)', "before its tests: "),
        (FORGE, "interferes with its own grading"),
        (
            "import os\nfor fd in range(3, 20):\n  try: os.write(fd, b'x\\n')\n  except OSError: 0",
            "interferes",
        ),
        (
            "class Odd(Exception):\n  def __str__(self): raise Odd\nraise Odd",
            "before its tests: Odd",
        ),
    ],
)
def test_hostile_code_fails(code: str, why: str) -> None:
    graded = grade(code if "def wanted" in code else code + RIGHT, grader=TESTED, limits=SOON)
    assert not graded.passed
    assert any(part in graded.why for part in why.split("|")), graded.why


@pytest.mark.parametrize(
    "harm",
    [
        "open({path!r}, 'w').write('gone')",
        "import os; os.remove({path!r})",
        "import os; os.truncate({path!r}, 0)",
        "import os; os.rename({path!r}, 'mine')",
        "import os; os.symlink({path!r}, 'link'); open('link', 'a').write('gone')",
        "import pathlib; pathlib.Path({path!r}).chmod(0o000)",
        "import shutil; shutil.rmtree({folder!r})",
        "import os; os.remove('precious', dir_fd=os.open({folder!r}, os.O_RDONLY))",
        "import os; os.fchmod(os.open({path!r}, os.O_RDONLY), 0)",
    ],
)
def test_files_outside_stay_as_they_are(harm: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        precious = Path(folder) / "precious"
        precious.write_text("kept", encoding="utf-8")
        # Open to all, so that it is not the rights of another user that keep it.
        for path in (precious, Path(folder)):
            path.chmod(0o777)
        code = harm.format(path=str(precious), folder=folder)
        graded = grade(code + RIGHT, grader=TESTED, limits=SOON)
        assert not graded.passed
        assert "not allowed while grading" in graded.why
        assert precious.read_text(encoding="utf-8") == "kept"
        assert precious.stat().st_mode & 0o777 == 0o777


def test_the_environment_does_not_reach_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    code = "import os\ndef wanted():\n    return 0 if 'SECRET' in os.environ else 42"
    assert grade(code, grader=TESTED).passed


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DROP TABLE t", "not authorized"),
        ("DELETE FROM t", "not authorized"),
        ("ATTACH 'stolen.db' AS other", "not authorized"),
        ("PRAGMA writable_schema = 1", "not authorized"),
        ("VACUUM INTO 'copy.db'", "authorization denied"),
        ("SELECT load_extension('evil')", "not authorized"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
            "takes too long",
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            "more than 10,000 rows",
        ),
        ("SELECT zeroblob(1000000000)", "too big"),
        ("SELECT '\ud800'", "surrogates"),
        ("SELECT 1\0; DROP TABLE t", "null character"),
    ],
)
def test_hostile_queries_fail(query: str, why: str) -> None:
    graded = grade(query, grader=TABLE, limits=SOON)
    assert not graded.passed
    assert why in graded.why


def test_catastrophic_backtracking_ends() -> None:
    graded = grade("a" * 40 + "!", grader=Regex("(a+)+b"), limits=SOON)
    assert not graded.passed
    assert graded.why == "takes longer than 1 s"


def test_a_document_that_takes_too_much_memory_fails() -> None:
    document = "[" + "{}," * 1_000_000 + "{}]"
    assert grade(document, grader=Json()).passed
    small = Limits(memory_mib=64)
    assert grade(document, grader=Json(), limits=small).why == "takes more than 64 MiB"
