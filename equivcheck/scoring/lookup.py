"""What prompt lookup would propose, written a second time.

The token that followed the latest earlier occurrence of the current n-gram, longest n first
(Saxena 2023). `decoding/drafters.py` is the other implementation; they share no code.
"""

from __future__ import annotations

from collections.abc import Sequence

from equivcheck.scoring.trace import NOTHING

SIZES = (3, 2, 1)
"""n-grams that are tried, in this order."""


def proposals(prompt: Sequence[int], output: Sequence[int]) -> list[int]:
    """The first token proposed at each place of an output, given what stands before it.

    `NOTHING` where no n-gram has occurred before.
    """
    text = [*prompt, *output]
    last: dict[tuple[int, ...], int] = {}
    """n-gram to the index behind its latest occurrence that something follows."""
    found = []
    for end in range(1, len(text)):
        grams = [tuple(text[end - size : end]) for size in SIZES if size <= end]
        if end >= len(prompt):
            follows = next((last[gram] for gram in grams if gram in last), None)
            found.append(NOTHING if follows is None else text[follows])
        for gram in grams:
            last[gram] = end
    return found if prompt else [NOTHING, *found]
