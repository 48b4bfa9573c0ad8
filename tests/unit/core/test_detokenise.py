"""Where a stop string is complete, token by token, over borders and inside characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.detokenise import detokeniser, stop_began_at, stop_completed_at

PIECES = (b"a", b"b", b"ab", b"\n", b"\xc3", b"\xa9", b"\xe6\x97", b"\xa5")


class Bytes:
    """A byte-level tokenizer: a piece may hold half a character."""

    def decode(self, token_ids: list[int], **options: Any) -> str:
        assert options == {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return b"".join(PIECES[token] for token in token_ids).decode("utf-8", "replace")


detokenise = detokeniser(Bytes())


@pytest.mark.parametrize(
    ("tokens", "stop", "place"),
    [
        ((0, 1, 0), ("b",), 1),
        ((0, 2, 0), ("b",), 1),
        ((0, 1, 3), ("ab",), 1),
        ((1, 0, 1, 0, 1), ("ba", "aba"), 1),
        ((0, 1, 0), ("x",), None),
        ((0, 1, 0), (), None),
        ((), ("a",), None),
        ((0, 4, 5, 0), ("é",), 2),
        ((6, 7), ("日",), 1),
        ((6, 0), ("日",), None),
        ((0, 0, 0), ("a",), 0),
    ],
)
def test_the_first_token_that_completes_a_stop(
    tokens: Sequence[int], stop: tuple[str, ...], place: int | None
) -> None:
    assert stop_completed_at(detokenise, tokens, stop) == place


@given(
    st.lists(st.integers(0, len(PIECES) - 1), max_size=40),
    st.lists(st.text("ab\né日", min_size=1, max_size=3), max_size=2),
)
def test_halving_finds_what_trying_every_prefix_finds(tokens: list[int], stop: list[str]) -> None:
    tried = (
        place
        for place in range(len(tokens))
        if any(string in detokenise(tokens[: place + 1]) for string in stop)
    )
    assert stop_completed_at(detokenise, tokens, stop) == next(tried, None)


@pytest.mark.parametrize(
    ("tokens", "stop", "began"),
    [
        ((0, 1, 0), ("b",), 1),
        ((0, 1, 3), ("ab",), 0),
        ((1, 0, 1, 0, 1), ("ba", "aba"), 0),
        ((1, 0, 1, 0, 1), ("bab", "ab"), 0),
        ((0, 4, 5, 0), ("é",), 1),
        ((0, 0, 0), ("a",), 0),
        ((1, 1, 0, 0), ("aa",), 2),
    ],
)
def test_the_token_in_which_that_stop_begins(
    tokens: Sequence[int], stop: tuple[str, ...], began: int
) -> None:
    completed = stop_completed_at(detokenise, tokens, stop)
    assert completed is not None
    assert stop_began_at(detokenise, tokens, stop, completed_at=completed) == began
