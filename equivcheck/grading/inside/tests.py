"""Runs the tests of an answer whose code runs in another process, and gives the verdict.

The answer shares nothing with this process: it can return values, raise, and call functions of the
tests that were given to it. Of the tests' objects it is shown those of their own making, without
private names; modules, frames and whatever leads to them stay here.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import functools
import io
import operator
import os
import sys
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

from equivcheck.grading.inside.calls import InterferenceError, Link
from equivcheck.grading.inside.remote import OPERATIONS
from equivcheck.grading.inside.told import compiled, line_of, told
from equivcheck.grading.inside.values import CHANGEABLE

_TESTS = "tests.py"
_CALLED = (functools.partial, operator.itemgetter, operator.attrgetter, operator.methodcaller)
_SHOWN = (SimpleNamespace, io.StringIO, io.BytesIO)
_STEPPED = ("builtins", "itertools")
_MODULE = 0
"""The number of the answer's module, the first that it gives."""


def judge(job: dict[str, Any]) -> tuple[bool, str]:
    """Wait for the answer's code, then run the tests."""
    link = Link(
        os.fdopen(job["hear"], "rb"),
        os.fdopen(job["say"], "wb"),
        may_give=lambda value: _called(value) or _shown(value) or _stepped(value),
        may_ask=_may_ask,
    )
    try:
        passed, why = _judge(job["tests"], link)
    except InterferenceError as error:
        return False, str(error)
    return (False, link.broken) if link.broken else (passed, why)


def _judge(tests: str, link: Link) -> tuple[bool, str]:
    match link.receive():
        case ["loaded"]:
            pass
        case ["failed", str(why)]:
            return False, f"the code fails before its tests: {why}"
        case _:
            return False, "interferes with its own grading"
    namespace = sys.modules.setdefault("tests", ModuleType("tests")).__dict__
    namespace.update(_names(tests, link))
    before = dict(namespace)
    try:
        exec(compiled(tests, file=_TESTS), namespace)
        for name, value in list(namespace.items()):
            own = isinstance(value, FunctionType) and value is not before.get(name)
            if own and name.startswith("test_"):
                value()
    except MemoryError:
        raise
    except InterferenceError as error:
        return False, str(error)
    except BaseException as error:
        line = line_of(error, file=_TESTS)
        return False, f"a test fails: {told(error)}" + (f" (line {line} of the tests)" * bool(line))
    return True, "passes its tests"


def _names(tests: str, link: Link) -> dict[str, Any]:
    """What the answer defines of the names that the tests use. Built-in names stay Python's own."""
    used = {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}
    found = {}
    for name in sorted(used - set(dir(builtins))):
        try:
            found[name] = link.ask("get", _MODULE, name)
        except InterferenceError:
            raise
        # AttributeError, or whatever a module's own ``__getattr__`` raises.
        except BaseException:
            continue
    return found


def _may_ask(operation: str, value: Any, name: Any) -> bool:
    if operation == "call":
        return _called(value) or (_shown(value) and not isinstance(value, _SHOWN))
    if _stepped(value):
        return operation in ("iter", "next")
    if not _shown(value):
        return False
    if operation in ("get", "set"):
        public = isinstance(name, str) and not name.startswith("_")
        # What the tests call on their own object later on is theirs.
        theirs = operation == "set" and (
            isinstance(value, type) or (public and callable(getattr(value, name, None)))
        )
        return public and not theirs
    return operation in OPERATIONS or operation == "isinstance"


def _called(value: Any) -> bool:
    """Whether it is a function of the tests, or one bound to what the answer may see."""
    if isinstance(value, FunctionType):
        return value.__module__ == "tests"
    if isinstance(value, MethodType | BuiltinFunctionType):
        owner = value.__self__
        return isinstance(owner, CHANGEABLE) or _shown(owner)
    return isinstance(value, _CALLED)


def _shown(value: Any) -> bool:
    """Whether it is a class of the tests, an object of one, or a plain record or stream."""
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__ == "tests" or type(value) in _SHOWN


def _stepped(value: Any) -> bool:
    # Not all that can be stepped through: a file is more than its lines.
    return isinstance(value, collections.abc.Iterator) and type(value).__module__ in _STEPPED
