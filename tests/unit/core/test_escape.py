from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.escape import clip, harmless, head, tail, visible, width, wrapped

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 🙂", "plain é 日本 🙂"),
        ("a\nb\tc\r\0", "a\\nb\\tc\\r\\x00"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028para\u2029", "line\\u2028para\\u2029"),
        ("no\xa0break", "no\\xa0break"),
        ("\ud800", "\\ud800"),
        ("C:\\new", "C:\\\\new"),
        ("e\u0301", "e\u0301"),
        ("\u0301e", "\\u0301e"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_nothing_hidden_comes_out(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert not any(unicodedata.bidirectional(c) in {"RLE", "LRO", "RLO", "RLI"} for c in shown)


@given(ANY_TEXT)
def test_an_escape_can_be_told_from_text(text: str) -> None:
    plain = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    shown = visible(plain)
    assert shown.encode("latin-1", "backslashreplace").decode("unicode_escape") == plain


@given(ANY_TEXT, st.integers(2, 40))
def test_cut_text_stays_in_its_cells(text: str, cells: int) -> None:
    for cut in (head(text, cells=cells), tail(text, cells=cells)):
        assert width(cut) <= cells
        assert cut.isprintable()
    if len(visible(text)) * 2 <= cells:
        assert head(text, cells=cells) == tail(text, cells=cells) == visible(text)


def test_cuts_are_marked_and_never_split_an_escape() -> None:
    assert head("abcdefgh", cells=5) == "abcd…"
    assert tail("abcdefgh", cells=5) == "…efgh"
    assert head("abcde", cells=5) == tail("abcde", cells=5) == "abcde"
    assert head("ab\x1b\x1b", cells=6) == "ab…"
    assert tail("\x1b\x1bab", cells=6) == "…ab"
    assert head("日本語", cells=5) == "日本…"


def test_very_long_text_is_cut_without_being_read_whole() -> None:
    assert len(head("x" * 10_000_000, cells=20)) == 20
    assert len(tail("x" * 10_000_000, cells=20)) == 20


@given(ANY_TEXT)
def test_what_is_made_harmless_stays_so(text: str) -> None:
    assert harmless(visible(text)) == visible(text)
    assert harmless(text).isprintable()
    assert harmless(harmless(text)) == harmless(text)


def test_clipping_counts_every_cell_of_an_escape() -> None:
    assert clip("ab\x1b\n", cells=8) == "ab\\x1b\\n"
    assert clip("ab\x1b\n", cells=7) == "ab\\x1b…"


def test_clipping_does_not_escape_again() -> None:
    assert clip("a\\\\b", cells=4) == "a\\\\b"
    assert clip("a\\\\bcd", cells=4) == "a\\\\…"
    assert clip("日本語", cells=5) == "日本…"


@given(st.text(max_size=300), st.integers(8, 40), st.sampled_from(("", "  ")))
def test_wrapped_lines_fit_and_lose_no_word(text: str, cells: int, indent: str) -> None:
    lines = wrapped(text, cells=cells, most=1000, indent=indent)
    assert all(width(line) <= cells for line in lines)
    assert "".join("".join(lines).split(" ")) == "".join(harmless(text).split(" "))


def test_what_does_not_fit_the_lines_is_cut_and_marked() -> None:
    lines = wrapped("word " * 100, cells=20, most=3, indent="  ")
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert all(width(line) <= 20 for line in lines)
