"""Grades Python code by running it and then its tests, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Verdict = tuple[bool, str]


def prepare(job: dict[str, Any]) -> Callable[[], Verdict] | str:
    """Run the code; return what runs its tests, or why the code does not get that far."""
    namespace: dict[str, Any] = {"__name__": "answer", "__builtins__": __builtins__}
    try:
        exec(compile(job["text"], "answer.py", "exec"), namespace)
    # Whatever the code raises is its failure, leaving by SystemExit included.
    except BaseException as error:
        return f"the code fails before its tests: {_told(error)}"

    def run_tests() -> Verdict:
        before = dict(namespace)
        try:
            exec(compile(job["tests"], "tests.py", "exec"), namespace)
            for name, value in list(namespace.items()):
                if name.startswith("test_") and value is not before.get(name):
                    value()
        except BaseException as error:
            return False, f"a test fails: {_told(error)}{_where(error)}"
        return True, "passes its tests"

    return run_tests


def _told(error: BaseException) -> str:
    try:
        text = str(error)
    # An exception of the answer's own may not even be printable.
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(error: BaseException) -> str:
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line} of the tests)" if line else ""
