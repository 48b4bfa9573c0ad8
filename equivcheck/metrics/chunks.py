"""Which prompts are decoded together, and which of them were asked before. Pure.

A batch larger than a suite is filled with the same prompts again. They make its steps as long as
they are, and tell nothing more about the workload.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

AGAIN = "~"
"""Behind the key of a prompt that is asked once more, before the number of the time."""


def key_of(prompt: str, *, time: int) -> str:
    """``code/a``, then ``code/a~2``."""
    return prompt if time == 1 else f"{prompt}{AGAIN}{time}"


def prompt_of(key: str) -> str:
    """The prompt that a key asks, for the first time or again."""
    return key.partition(AGAIN)[0]


def in_chunks(keys: Sequence[str], *, size: int) -> Iterator[slice]:
    """Chunks of `size` prompts; none in which all were asked before."""
    for start in range(0, len(keys), size):
        chunk = slice(start, start + size)
        if any(key == prompt_of(key) for key in keys[chunk]):
            yield chunk
