"""Schedules that need time: turns of sessions, prompts that begin with another's, samples."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from equivcheck.core.cases import Case, Message, Sampling, SharedPrefix
from equivcheck.fault_matrix.writer import ROWS, Writer

QUESTIONS = (
    "Where is the sea?",
    "What is a list in Python?",
    "Who is the king?",
    "Write a query that counts orders.",
)
FOLLOW_UPS = ("Why?", "And then?", "Say it again.", "Thank you. What else?")
SYSTEM = 70
"""Tokens that all prompts of `shared` may share: four pages and a part of one."""
PARTS = (64, 70, 48, 55, 32, 69, 70)
"""Leading tokens that the others take of it: at borders of pages, and inside pages."""


def turns(write: Writer) -> Iterator[Case]:
    """Eight sessions of three turns, four as conversations and four as raw text."""
    questions = write.random.sample(QUESTIONS, len(QUESTIONS))
    follow_ups = write.random.sample(FOLLOW_UPS, len(FOLLOW_UPS))
    for turn in range(3):
        for place in range(ROWS // 2):
            words = follow_ups[(place + turn) % 4] if turn else questions[place]
            yield Case(
                id="",
                session=f"chat-{place}",
                messages=(Message("user", words),),
                max_new_tokens=16,
            )
            raw = "\n" + write.varied[4 + place] if turn else write.varied[place]
            yield Case(
                id="", session=f"raw-{place}", prompt=raw, max_new_tokens=20, ignore_eos=True
            )


def shared(write: Writer) -> Iterator[Case]:
    """A prompt, others that begin with it or a part of it, some that begin with these, it again."""
    first = Case(id="", token_ids=write.filler(SYSTEM), max_new_tokens=16, ignore_eos=True)
    yield first
    for place, tokens in enumerate(PARTS):
        yield Case(
            id="",
            shares_prefix_with=SharedPrefix(id="00", tokens=tokens),
            prompt="\n" + write.varied[place],
            max_new_tokens=16,
            ignore_eos=True,
        )
    for place in range(1, ROWS):
        yield Case(
            id="",
            shares_prefix_with=SharedPrefix(id=f"{place:02}"),
            prompt="\n" + write.varied[8 + place],
            after=f"{place:02}",
            max_new_tokens=16,
            ignore_eos=True,
        )
    yield replace(first, after="00")


def samples(write: Writer) -> Iterator[Case]:
    """Two prompts, four samples of each, and the same once more in rows that served them."""
    for _ in range(2):
        for prompt in write.varied[:2]:
            for _ in range(4):
                sampling = Sampling(temperature=1.0)
                yield Case(id="", prompt=prompt, max_new_tokens=24, sampling=sampling)
