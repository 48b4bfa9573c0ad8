"""Compare an arm with another answer of the same decoder, down to the bits that it reports.

Shared by `determinism` and `batching`. Does not decide what a difference means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from equivcheck.checks.near_ties import ended_differently
from equivcheck.checks.subjects import at_token
from equivcheck.core.generation import Generation
from equivcheck.records.divergence import Pair, join
from equivcheck.records.records import CANDIDATE, Evidence


class Repeated(NamedTuple):
    """One case, answered twice by the same decoder."""

    pair: Pair
    differences: tuple[str, ...]
    """What differs, worst first; empty where nothing does."""

    @property
    def tokens_differ(self) -> bool:
        """Whether the answers themselves differ, not only the numbers beside them."""
        return self.pair.position is not None


def repeats(evidence: Evidence, *, arm: str) -> list[Repeated]:
    """Hold ``arm`` against the candidate on every case that both answered."""
    return [
        Repeated(pair, tuple(_differences(evidence, pair)))
        for pair in join(evidence, arm=arm, base=CANDIDATE)
    ]


def _differences(evidence: Evidence, pair: Pair) -> Iterator[str]:
    def at(position: int, *, of: int | None = None) -> str:
        return at_token(evidence, pair.key, position, of=of)

    if pair.position is not None:
        what = "texts" if pair.text_alone else "tokens"
        parted = f"{what} part at {at(pair.position, of=len(pair.target.token_ids))}"
        yield parted if pair.token_differs else ended_differently(pair)
        return
    once, again = pair.target, pair.other
    if (other_row := first_other_logits(once, again)) is not None:
        yield f"logits differ in their bits at {at(other_row)}, first of all"
    if (other_score := _first_other_score(once, again)) is not None:
        yield f"scores differ in their bits at {at(other_score)}, first of all"


def first_other_logits(once: Generation, again: Generation) -> int | None:
    """First output index whose logits' fingerprints differ, where both arms report them."""
    ours, theirs = once.logit_digests, again.logit_digests
    if not ours or not theirs:
        return None
    from equivcheck.checks.columns import first_other

    return first_other(ours, theirs)


def _first_other_score(once: Generation, again: Generation) -> int | None:
    if once.scores is None or again.scores is None:
        return None
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.checks.columns import first_other_bits

    if not any(type(each.scores) is tuple for each in (once, again)):
        return first_other_bits(once.scores, again.scores)
    for index, (one, other) in enumerate(zip(once.scores, again.scores, strict=False)):
        bits = struct.pack("<dd", one.logprob, one.rival_logprob)
        others = struct.pack("<dd", other.logprob, other.rival_logprob)
        if (bits, one.rival) != (others, other.rival):
            return index
    return None
