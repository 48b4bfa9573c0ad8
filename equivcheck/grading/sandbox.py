"""Runs one grading job in children: a limited one where a text is looked at, two where code is run.

Texts, JSON and queries are looked at by a child ``python -I -S`` in an empty folder, without
environment variables, under limits of processor, memory and file size: none of them runs code.

An answer's code runs in bubblewrap (`bubblewrap`). Its tests run in another one, and call the
answer's functions from there. Only the second gives a verdict, and the first cannot reach it:
values cross as copies (`inside/calls.py`). Without bubblewrap no code is run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from equivcheck.core.graders import Graded, GradingError, GradingLimits
from equivcheck.grading.bubblewrap import contained
from equivcheck.grading.children import Child, follow

_PACKAGES = str(Path(__file__).resolve().parents[2])


def look(job: dict[str, Any], *, limits: GradingLimits) -> Graded:
    """Have a child do ``job``, which runs no code, within ``limits``.

    Raises:
        GradingError: the child does not start, or finds the grader unusable.
    """
    _check_system()
    whole = {**job, **msgspec.structs.asdict(limits), "paths": _import_paths()}
    with ExitStack() as ending:
        folder = _folder(ending)
        child = Child([sys.executable, *_python()], job=whole, folder=folder)
        ending.callback(child.end)
        return follow([child], limits=limits)


def run_code(text: str, *, tests: str, limits: GradingLimits) -> Graded:
    """Run an answer's code in one sandbox, and tests that call it in another.

    Raises:
        GradingError: bubblewrap is not installed or does not run here.
    """
    _check_system()
    command = contained(_python(), folder_kib=limits.folder_kib)
    limited = msgspec.structs.asdict(limits)
    with ExitStack() as ending:
        folder = _folder(ending)
        with ExitStack() as ours:
            (hear_tests, say_answer), (hear_answer, say_tests) = os.pipe(), os.pipe()
            pipes = {"tests": (hear_answer, say_answer), "answer": (hear_tests, say_tests)}
            for fd in (hear_tests, say_answer, hear_answer, say_tests):
                ours.callback(os.close, fd)
            jobs = {"tests": {"tests": tests}, "answer": {"text": text}}
            children = []
            for kind, (hear, say) in pipes.items():
                job = {**jobs[kind], **limited, "kind": kind, "hear": hear, "say": say}
                child = Child(command, job=job, folder=folder, pipes=(hear, say))
                ending.callback(child.end)
                children.append(child)
        return follow(children, limits=limits)


def _check_system() -> None:
    if os.name != "posix":
        raise GradingError("grading by running needs a POSIX system; only exact works here")


def _folder(ending: ExitStack) -> str:
    made = tempfile.TemporaryDirectory(prefix="equivcheck-", ignore_cleanup_errors=True)
    return ending.enter_context(made)


def _python() -> list[str]:
    code = (
        f"import sys; sys.path.append({_PACKAGES!r})\n"
        "from equivcheck.grading.inside.main import main; main(report=REPORT)"
    )
    return ["-I", "-S", "-B", "-X", "utf8", "-c", code]


def _import_paths() -> list[str]:
    return [str(Path(path).resolve()) for path in sys.path if path]
