"""Runs an answer's code, and does to what it defines whatever the tests ask. Gives no verdict."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from equivcheck.grading.inside.calls import InterferenceError, Link
from equivcheck.grading.inside.told import compiled, told


def judge(job: dict[str, Any]) -> None:
    """Run the code, say how that went, and serve until the tests are done."""
    link = Link(os.fdopen(job["hear"], "rb"), os.fdopen(job["say"], "wb"), functions=True)
    # Dataclasses and typing look their module up by name.
    module = sys.modules["answer"] = ModuleType("answer")
    link.give(module)
    try:
        exec(compiled(job["text"], file="answer.py"), module.__dict__)
    # Whatever the code raises is its failure, leaving by SystemExit included.
    except BaseException as error:
        outcome = ["failed", told(error)]
    else:
        outcome = ["loaded"]
    try:
        link.send(outcome)
        link.serve()
    except InterferenceError:
        return
