"""The child of the sandbox: reads a job, gives up its rights, and says on a private pipe what came.

Started by `sandbox.py`, never imported elsewhere. Every message is one line of JSON; the stages are
``contained``, then ``ready`` once the answer's code has run, then the verdict. A pass counts only
with the token that the parent sends after ``ready``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from equivcheck.grading.inside.containment import NotContainedError, contain

_SAYS_AT_MOST = 2000
_JUDGES = {"json": "schema", "regex": "pattern", "sql": "sql"}


def main(*, report: int) -> None:
    """Do one job from stdin, report on the file descriptor ``report``, and leave at once."""
    job: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    say = _speaker(report)
    try:
        judge = _load(job)
        contain(seconds=job["seconds"], memory_mib=job["memory_mib"], file_kib=job["file_kib"])
    except (NotContainedError, ImportError) as error:
        say(stage="refused", why=str(error))
        os._exit(0)
    say(stage="contained")
    try:
        decide = judge(job)
        if not isinstance(decide, str):
            say(stage="ready")
            token = os.read(0, 64).decode("ascii")
            passed, why = decide()
            say(stage="judged", token=token, passed=passed, why=why)
        else:
            say(stage="judged", passed=False, why=decide)
    except ValueError as error:
        say(stage="unusable", why=str(error))
    except MemoryError:
        say(stage="judged", passed=False, why=f"takes more than {job['memory_mib']} MiB")
    # Not by return: what the answer has registered for the end must not run.
    os._exit(0)


def _load(job: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """Import what the job needs; return what makes a decision of it, later."""
    if job["kind"] == "python":
        from equivcheck.grading.inside.code import prepare

        # Where this package lies, the last of the paths: the answer gets the standard library only.
        sys.path.pop()
        return prepare
    if job.get("schema") is not None:
        sys.path[:] = job["paths"]
        from equivcheck.grading.inside.schema import load

        load()
    module = import_module(f"equivcheck.grading.inside.{_JUDGES[job['kind']]}")
    return lambda given: lambda: module.judge(given)


def _speaker(report: int) -> Callable[..., None]:
    dumps, write = json.dumps, os.write

    def say(**message: object) -> None:
        if isinstance(why := message.get("why"), str):
            # A lone surrogate is no JSON.
            plain = why[:_SAYS_AT_MOST].encode("utf-8", "backslashreplace")
            message["why"] = plain.decode("utf-8")
        write(report, dumps(message).encode("ascii") + b"\n")

    return say
