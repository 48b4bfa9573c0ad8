"""Several turns of a user, to cases of one session: each follows on the engine's own answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from equivcheck.conversion.drafts import Draft
from equivcheck.conversion.losses import Losses

_OWN_ANSWERS = "later turns follow on the engine's own answers, as they do where it serves"


def asked_in_turns(
    turns: Sequence[str],
    answers: Sequence[Any],
    losses: Losses,
    *,
    name: str,
    system: str | None = None,
) -> Iterator[Draft]:
    """A case for each turn; several are one session, whose name follows from the first case's id.

    Args:
        turns: What the user says, in order.
        answers: What the file has as answers to them; not asked for, and not needed.
        losses: Takes the answers that stand between turns.
        name: Of the conversation; its turns get numbers behind it.
        system: What stands before the first turn.
    """
    if len(turns) > 1 and answers:
        losses.key("answers between turns", _OWN_ANSWERS)
    for at, turn in enumerate(turns):
        begun = [{"role": "system", "content": system}] if system and at == 0 else []
        messages = [*begun, {"role": "user", "content": turn}]
        if len(turns) == 1:
            yield Draft(name, {"messages": messages})
        else:
            yield Draft(
                f"{name}-t{at + 1}" if name else "", {"messages": messages}, in_session=True
            )
