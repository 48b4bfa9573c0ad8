"""Suffix decoding on the host: what most often followed the longest suffix of a text.

Texts are indexed by pairs of neighbouring tokens; a match is extended backwards from there. Pure
lists and dictionaries: nothing here knows of rows, requests or devices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

SHORTEST = 2
"""Tokens of a match, at least: what texts are indexed by."""
LONGEST = 32
"""And at most: what lies further back is not compared."""
TRIED = 64
"""Latest places of a pair that are looked at."""
LEAST = 0.1
"""Estimated probability that a draft and all before it are right, below which none is made."""


class Continuation(NamedTuple):
    """Where a text may go on as another did."""

    tokens: list[int]
    at: int
    """Index of what followed."""


class SuffixMatch(NamedTuple):
    """All places behind the longest suffix that was found."""

    size: int
    places: list[Continuation]


NOWHERE = SuffixMatch(0, [])


class SuffixIndex:
    """Texts, and where each pair of tokens occurs in them."""

    def __init__(self) -> None:
        self.texts: dict[Hashable, list[int]] = {}
        """In the order in which they were first heard of."""
        self.tokens = 0
        """Number of tokens of all texts."""
        self.places: dict[tuple[int, int], dict[tuple[Hashable, int], None]] = {}
        """Pair of tokens to the texts and the indices behind it, the latest last."""

    def extend(self, key: Hashable, tokens: Sequence[int]) -> None:
        """Append to the text of a key."""
        text = self.texts.setdefault(key, [])
        for token in tokens:
            text.append(token)
            if len(text) >= SHORTEST:
                pair = (text[-2], text[-1])
                self.places.setdefault(pair, {})[key, len(text)] = None
        self.tokens += len(tokens)

    def remove(self, key: Hashable) -> None:
        """Forget the text of a key."""
        text = self.texts.pop(key)
        for at in range(SHORTEST, len(text) + 1):
            pair = (text[at - 2], text[at - 1])
            del self.places[pair][key, at]
            if not self.places[pair]:
                del self.places[pair]
        self.tokens -= len(text)

    def match(self, context: Sequence[int]) -> SuffixMatch:
        """Where the longest suffix of a context occurs with something behind it."""
        if len(context) < SHORTEST:
            return NOWHERE
        best = NOWHERE
        found = self.places.get((context[-2], context[-1]), {})
        for key, at in list(reversed(found))[:TRIED]:
            text = self.texts[key]
            if at == len(text):
                continue
            size = SHORTEST
            most = min(LONGEST, at, len(context))
            while size < most and text[at - size - 1] == context[-size - 1]:
                size += 1
            if size > best.size:
                best = SuffixMatch(size, [])
            if size == best.size:
                best.places.append(Continuation(text, at))
        return best


class SuffixPool(SuffixIndex):
    """Answers of earlier requests, up to so many tokens; the oldest make room."""

    def __init__(self, *, capacity: int) -> None:
        """Keep at most `capacity` tokens."""
        super().__init__()
        self.capacity = capacity

    def put(self, key: Hashable, answer: Sequence[int]) -> None:
        """Keep an answer under a key of its own; of a long one the end."""
        self.extend(key, answer[max(0, len(answer) - self.capacity) :])
        while self.tokens > self.capacity:
            self.remove(next(iter(self.texts)))


def continuation(matches: Sequence[SuffixMatch], *, most: int) -> list[int]:
    """What most often followed the longest of some matches, at most `most` tokens.

    Each token has to have followed in so many of the places that, with those before it, it is right
    with an estimated probability of `LEAST`. Of equally frequent tokens the smallest is taken, so
    that drafts follow from the texts alone.
    """
    size = max((match.size for match in matches), default=0)
    places = [place for match in matches if match.size == size for place in match.places]
    drafts: list[int] = []
    sure = 1.0
    while places and len(drafts) < most:
        counts = Counter(place.tokens[place.at] for place in places)
        token, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        sure *= count / len(places)
        if sure < LEAST:
            break
        drafts.append(token)
        going_on = [place for place in places if place.tokens[place.at] == token]
        places = [
            Continuation(place.tokens, place.at + 1)
            for place in going_on
            if place.at + 1 < len(place.tokens)
        ]
    return drafts
