"""Make a failing input smaller while it still fails: delta debugging, in a bounded number of tries.

Pure. After Zeller and Hildebrandt (IEEE TSE 28, 2002): chunks are left out, ever smaller ones, and
what still fails is kept. Nothing is kept that was not seen to fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Tries:
    """Counts tries; once they are used up, nothing fails any more, so nothing shrinks further."""

    def __init__(self, *, most: int, tell: Callable[[int, int], object] | None = None) -> None:
        """``tell`` is given the tries made and the most there may be, after each."""
        self.most, self.made, self.tell = most, 0, tell

    def fails(self, run: Callable[[], bool]) -> bool:
        """Whether a try fails; False, without a try, where none is left."""
        if self.made >= self.most:
            return False
        self.made += 1
        failed = run()
        if self.tell:
            self.tell(self.made, self.most)
        return failed


def fewest(
    items: Sequence[Item], fails: Callable[[tuple[Item, ...]], bool], *, least: int = 0
) -> tuple[Item, ...]:
    """As few of the items as still fail, in their order; all of them are known to fail.

    Args:
        items: to choose from.
        fails: whether a choice still fails.
        least: how many have to stay.
    """
    kept = tuple(items)
    size = len(kept)
    while size > 0 and len(kept) > least:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if len(fewer) >= least and fails(fewer):
                kept = fewer
            else:
                start += size
        size = min(size // 2, len(kept))
    return kept


def lowest(most: int, fails: Callable[[int], bool], *, least: int = 1) -> int:
    """A small number that fails, by bisection; ``most`` is known to fail."""
    low, high = least, most
    while low < high:
        middle = (low + high) // 2
        if fails(middle):
            high = middle
        else:
            low = middle + 1
    return high
