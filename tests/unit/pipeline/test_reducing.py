"""Delta debugging: small, seen to fail, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from equivcheck.pipeline.reducing import Tries, fewest, lowest


@given(st.integers(1, 40), st.data())
def test_only_what_is_needed_stays(length: int, data: st.DataObject) -> None:
    needed = data.draw(st.sets(st.integers(0, length - 1)))
    seen = []

    def fails(items: tuple[int, ...]) -> bool:
        seen.append(items)
        return needed <= set(items)

    assert fewest(range(length), fails) == tuple(sorted(needed))
    assert len(seen) <= 2 * length * (length.bit_length() + 1)


def test_a_least_number_stays() -> None:
    assert len(fewest(range(10), lambda _: True, least=1)) == 1


def test_what_is_kept_was_seen_to_fail() -> None:
    """An odd number of items, whichever: no smaller step is taken for granted."""
    failed = {tuple(range(9))}

    def fails(items: tuple[int, ...]) -> bool:
        if len(items) % 2:
            failed.add(items)
        return bool(len(items) % 2)

    assert fewest(range(9), fails) in failed


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_lowest_that_fails_is_found(border: int, more: int) -> None:
    assert lowest(border + more, lambda value: value >= border) == border


def test_when_the_tries_are_used_up_nothing_shrinks_further() -> None:
    told: list[tuple[int, int]] = []
    tries = Tries(most=3, tell=lambda made, most: told.append((made, most)))
    kept = fewest(range(16), lambda items: tries.fails(lambda: 5 in items))
    assert 5 in kept
    assert len(kept) > 1
    assert told == [(1, 3), (2, 3), (3, 3)]
