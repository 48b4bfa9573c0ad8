"""What one record becomes before it is a case: `Draft`; and how it gets an id and is checked."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from equivcheck.conversion.losses import LeftOutError
from equivcheck.core.cases import Case, Message, Sampling, too_cold
from equivcheck.core.graders import KINDS
from equivcheck.core.validation import decoded, explain

LONGEST_ID, LONGEST_WORKLOAD = 90, 40
"""Characters; an id may need some more to be told from another."""
_FOREIGN = re.compile(r"[^a-z0-9._-]+")


class Draft(NamedTuple):
    """A case but for its id, which has to be told from those of the whole file."""

    name: str
    """As its file calls it; empty: not at all."""
    fields: dict[str, Any]
    """Keys of a case as they stand in a suite."""
    category: str | None = None
    """What kind of work its file says it is."""
    in_session: bool = False
    """Whether it is a turn of the session that the record's first case begins."""


_decode = msgspec.json.Decoder(Case).decode


def case_of(draft: Draft, case_id: str) -> Case:
    """The case, read as a suite's line is.

    Raises:
        LeftOutError: no suite could hold it; says which key.
    """
    fields = {"id": case_id, **draft.fields}
    try:
        case = decoded(_decode, msgspec.json.encode(fields))
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        grader = draft.fields.get("grader", {})
        shapes: dict[str, type[Struct]] = {
            "": Case,
            "sampling": Sampling,
            "messages": Message,
            "grader": KINDS[grader.get("kind", "exact")],
        }
        if isinstance(error, UnicodeEncodeError):
            raise LeftOutError("holds half a surrogate pair, which is no text") from None
        raise LeftOutError(explain(error, shapes)) from None
    if cold := too_cold(case.sampling.temperature):
        raise LeftOutError(f"temperature: {cold}")
    if case.prompt is not None and not case.prompt.strip():
        raise LeftOutError("prompt: only white space")
    if case.prompt is None and not case.messages and not case.token_ids:
        raise LeftOutError("no prompt in it")
    return case


class Ids:
    """Gives every case of a suite an id of its own, near to what its file calls it."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str, *, number: int) -> str:
        """An id for the record with this number in the file, from 1."""
        base = _plain(name, LONGEST_ID) or f"r{number}"
        found, again = base, 2
        while found in self._taken:
            found, again = f"{base}-{again}", again + 1
        self._taken.add(found)
        return found


def workload_of(name: str) -> str:
    """A workload's name out of a file's or category's; ``run`` names the whole run in reports."""
    plain = _plain(name, LONGEST_WORKLOAD) or "prompts"
    return "run-prompts" if plain == "run" else plain


def _plain(name: str, most: int) -> str:
    return _FOREIGN.sub("-", name.lower()).strip("._-")[:most].rstrip("._-")
