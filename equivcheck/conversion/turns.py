"""Several turns of a user, to cases: each turn whose earlier answers the file has is one case.

A suite's case asks for one answer. Whatever becomes of a turn that follows on an answer of the
engine's own is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from equivcheck.conversion.drafts import Draft
from equivcheck.conversion.losses import Losses

_NO_ANSWER = "they follow on an answer of the engine's own, which the file does not have"


def asked_in_turns(
    turns: Sequence[str],
    answers: Sequence[Any],
    losses: Losses,
    *,
    name: str,
    system: str | None = None,
) -> Iterator[Draft]:
    """A case for the first turn, and for every later one all of whose earlier answers are there.

    Args:
        turns: What the user says, in order.
        answers: What was answered to each, in the same order; may be shorter.
        losses: Takes the turns that cannot be asked.
        name: Of the conversation; later turns get a number behind it.
        system: What stands before the first turn.
    """
    messages = [{"role": "system", "content": system}] if system else []
    for at, turn in enumerate(turns):
        if at:
            if len(answers) < at or not isinstance(answers[at - 1], str) or not answers[at - 1]:
                losses.key("turns after the first without the answer before them", _NO_ANSWER)
                return
            messages.append({"role": "assistant", "content": answers[at - 1]})
        messages.append({"role": "user", "content": turn})
        own = f"{name}-t{at + 1}" if len(turns) > 1 and name else name
        yield Draft(own, {"messages": list(messages)})
