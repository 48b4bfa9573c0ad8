"""A child that grades: reads a job, limits itself, and says on a private pipe what came of it.

Started by `sandbox.py`, never imported elsewhere. Every message is one line of JSON; the stages are
``limited``, then the verdict. The child that runs an answer's code gives no verdict: it closes the
pipe before it sees the code, and answers the calls of the child that runs the tests.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from equivcheck.grading.inside.limits import NotLimitedError, allow_no_process, limit

_SAYS_AT_MOST = 2000
_RUNNING = ("answer", "tests")
"""Jobs that run code; the module of each is called so."""
_JUDGES = {"json": "schema", "regex": "pattern", "sql": "sql"} | {job: job for job in _RUNNING}


def main(*, report: int) -> None:
    """Do one job from stdin, report on the file descriptor ``report``, and leave at once."""
    job: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    say = _speaker(report)
    try:
        judge = _load(job)
        limit(seconds=job["seconds"], memory_mib=job["memory_mib"], file_kib=job["file_kib"])
        if job["kind"] in _RUNNING:
            allow_no_process()
    except (NotLimitedError, ImportError) as error:
        say(stage="refused", why=str(error))
        os._exit(0)
    say(stage="limited")
    if job["kind"] == "answer":
        os.close(report)
        judge(job)
        os._exit(0)
    try:
        passed, why = judge(job)
        say(stage="judged", passed=passed, why=why)
    except ValueError as error:
        say(stage="unusable", why=str(error))
    except MemoryError:
        say(stage="judged", passed=False, why=f"takes more than {job['memory_mib']} MiB")
    # Not by return: what was registered for the end must not run.
    os._exit(0)


def _load(job: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """Import what the job needs; return what does it, later."""
    if job.get("schema") is not None:
        sys.path[:] = job["paths"]
        from equivcheck.grading.inside.schema import load

        load()
    judge: Callable[[dict[str, Any]], Any] = import_module(
        f"equivcheck.grading.inside.{_JUDGES[job['kind']]}"
    ).judge
    if job["kind"] in _RUNNING:
        # Where this package lies, the last of the paths: code gets the standard library only.
        sys.path.pop()
    return judge


def _speaker(report: int) -> Callable[..., None]:
    def say(**message: object) -> None:
        if isinstance(why := message.get("why"), str):
            # A lone surrogate is no JSON.
            plain = why[:_SAYS_AT_MOST].encode("utf-8", "backslashreplace")
            message["why"] = plain.decode("utf-8")
        os.write(report, json.dumps(message).encode("ascii") + b"\n")

    return say
