"""The opener: a case of one token at the head of a schedule, asked again in place of all others.

Engines warm up on the shortest case and ask the first of each suite again, so an opener makes both
cheap and leaves the batches of all other cases as they are. It is not part of what is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from equivcheck.core.cases import Case, Suite

OPENER = "opener"
"""Id of the case."""


def open_with_one_token(suite: Suite) -> Suite:
    """Put an opener, the first prompt cut to one greedy token, before the cases of a suite."""
    first = suite.cases[0]
    opener = Case(
        id=OPENER,
        prompt=first.prompt,
        token_ids=first.token_ids,
        messages=first.messages,
        max_new_tokens=1,
        ignore_eos=True,
    )
    cases = (opener, *suite.cases)
    return msgspec.structs.replace(
        suite,
        cases=cases,
        lines=tuple(range(2, len(cases) + 2)),
        digest=hashlib.sha256(msgspec.json.encode(cases)).hexdigest(),
    )


def without_openers(keys: Iterable[str]) -> list[str]:
    """The keys of all other cases."""
    return [key for key in keys if not key.endswith(f"/{OPENER}")]
