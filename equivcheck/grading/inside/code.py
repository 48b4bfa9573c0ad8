"""Grades Python code by running it and then its tests, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

_TESTS = "tests.py"
Verdict = tuple[bool, str]


def prepare(job: dict[str, Any]) -> Callable[[], Verdict] | str:
    """Run the code; return what runs its tests, or why the code does not get that far."""
    # Dataclasses and typing look their module up by name.
    module = sys.modules["answer"] = ModuleType("answer")
    namespace = module.__dict__
    try:
        exec(_compiled(job["text"], file="answer.py"), namespace)
    # Whatever the code raises is its failure, leaving by SystemExit included.
    except BaseException as error:
        return f"the code fails before its tests: {_told(error)}"

    def run_tests() -> Verdict:
        before = dict(namespace)
        try:
            exec(_compiled(job["tests"], file=_TESTS), namespace)
            for name, value in list(namespace.items()):
                own = isinstance(value, FunctionType) and value is not before.get(name)
                if own and name.startswith("test_"):
                    value()
        except BaseException as error:
            return False, f"a test fails: {_told(error)}{_where(error)}"
        return True, "passes its tests"

    return run_tests


def _compiled(source: str, *, file: str) -> CodeType:
    # Without the future statements of this module.
    return compile(source, file, "exec", dont_inherit=True)


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
        if trace.tb_frame.f_code.co_filename == _TESTS:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line} of the tests)" if line else ""
