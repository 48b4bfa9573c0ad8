"""Questions of published benchmarks, with their graders: in turns, HumanEval, GSM8K, any column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from equivcheck.conversion.drafts import Draft
from equivcheck.conversion.losses import LeftOutError, Losses, Taken
from equivcheck.conversion.turns import asked_in_turns
from equivcheck.core.foreign import COLUMNS

_REFERENCE = "an answer to compare with, and no grader that decides on one"
_CODE_TOKENS, _REASONING_TOKENS = 512, 400
_CODE_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Those of the paper that HumanEval is from (Chen et al., 2021)."""
_PLACEHOLDER = "FULL BENCHMARK DATA SHOULD BE FETCHED FROM THE SOURCE"
"""What SPEED-Bench has where the text is somebody else's, until its own script fetches it."""


def in_turns(record: Taken, losses: Losses) -> Iterator[Draft]:
    """``turns`` of a user, as MT-Bench, Spec-Bench and SPEED-Bench have them."""
    name = str(record.take("question_id", "id") or "")
    category = record.take("category")
    turns, answers = record.take("turns"), record.take("reference", "references")
    turns = [turns] if isinstance(turns, str) else turns
    if not turns or not all(isinstance(turn, str) for turn in turns):
        raise LeftOutError("turns: no texts")
    if any(_PLACEHOLDER in turn for turn in turns):
        raise LeftOutError("turns: a placeholder; SPEED-Bench's own prepare.py fetches the text")
    answers = answers if isinstance(answers, list) else []
    record.lose_rest(losses)
    for draft in asked_in_turns(turns, answers, losses, name=name):
        yield draft._replace(category=str(category) if category else None)
    if answers:
        losses.key("reference", _REFERENCE)


def humaneval(record: Taken, losses: Losses) -> Iterator[Draft]:
    """A function's head to complete, and the tests that decide."""
    prompt, entry, test = (record.text(name) for name in ("prompt", "entry_point", "test"))
    name = str(record.take("task_id") or "")
    if record.take("canonical_solution"):
        losses.key("canonical_solution", "the tests decide")
    record.lose_rest(losses)
    grader = {"kind": "python", "prefix": prompt, "tests": f"{test.rstrip()}\n\ncheck({entry})\n"}
    yield Draft(
        name,
        {
            "prompt": prompt,
            "max_new_tokens": _CODE_TOKENS,
            "stop": list(_CODE_STOPS),
            "grader": grader,
        },
    )


def gsm8k(record: Taken, losses: Losses) -> Iterator[Draft]:
    """A word problem; right is an answer whose last number is the solution's."""
    question, solution = record.text("question"), record.text("answer")
    name = str(record.take("id", "question_id") or "")
    losses.key("answer, but for its last number", "the number decides")
    record.lose_rest(losses)
    yield Draft(
        name,
        {
            "prompt": f"Question: {question}\nAnswer:",
            "max_new_tokens": _REASONING_TOKENS,
            "stop": ["Question:"],
            "grader": last_number(solution),
        },
    )


def last_number(solution: str) -> dict[str, str]:
    """A grader for the number behind ``####``, as the last one in an answer.

    With or without commas between thousands, and zeros behind a point.

    Raises:
        LeftOutError: there is no number.
    """
    number = solution.rpartition("####")[2].strip().replace(",", "").removeprefix("$")
    if not re.fullmatch(r"-?\d+(\.\d+)?", number):
        raise LeftOutError(f"answer: {number[:30]!r} behind #### is no number")
    whole, _, part = number.removeprefix("-").partition(".")
    digits = "".join(
        digit + (",?" if left and left % 3 == 0 else "")
        for digit, left in zip(whole, reversed(range(len(whole))), strict=True)
    )
    sign = "-" if number.startswith("-") else ""
    tail = rf"\.{part.rstrip('0')}0*" if part.strip("0") else r"(?:\.0*)?"
    before = r"(?:.*[^\d.,])?" if sign else r"(?:.*[^\d.,-])?"
    return {"kind": "regex", "pattern": rf"(?s){before}{sign}\$?{digits}{tail}\D*"}


def column(record: Taken, losses: Losses, *, named: str | None = None) -> Iterator[Draft]:
    """A prompt in a column, as of speculator_benchmarks; the others are lost."""
    name = str(record.take("id", "question_id", "task_id", "prompt_id") or "")
    category = record.take("category")
    found = next((key for key in ((named,) if named else COLUMNS) if key in record), None)
    if found is None:
        raise LeftOutError(f"no text in a column {named or ', '.join(COLUMNS)}")
    prompt = record.text(found)
    record.lose_rest(losses)
    yield Draft(name, {"prompt": prompt}, category=str(category) if category else None)
