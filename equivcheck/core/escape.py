"""Make hostile text visible and bounded: prompts, model output, anything from outside.

What comes out has no control, format or bidirectional characters and no line ends, whatever went
in, so it can stand in a terminal, a log or a table. Escapes are Python's (``\\n``, ``\\x1b``,
``\\u202e``); a backslash is doubled, so a shown escape is never mistaken for text. HTML and
Markdown have their own specials, which their renderers escape on top.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

ELLIPSIS = "…"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING = frozenset({"Mn", "Me", "Mc"})
_SPACES = frozenset({"Zs"})
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")
"""In JSON what is below the space is escaped already."""


def visible(text: str) -> str:
    """Escape every character that a reader could not see, or that could move the cursor."""
    return "".join(_pieces(text))


def harmless(text: str) -> str:
    """The same for text that may be visible already: its backslashes stay as they are."""
    return "\\".join(visible(part) for part in text.split("\\"))


def escaped_json(document: str) -> str:
    """The same JSON with what a reader could not see as JSON's own escapes: ``\\u202e``."""
    return _BEYOND_ASCII.sub(_in_json, document)


def head(text: str, *, cells: int) -> str:
    """The visible start of ``text`` in at most ``cells`` terminal cells, marked where cut."""
    pieces = _pieces(text[: cells + 1])
    kept = _fitting(pieces, cells)
    if len(kept) == len(pieces) and len(text) <= cells + 1:
        return "".join(kept)
    return "".join(_fitting(pieces, cells - 1)) + ELLIPSIS


def tail(text: str, *, cells: int) -> str:
    """The visible end of ``text`` in at most ``cells`` terminal cells, marked where cut."""
    pieces = _pieces(text[-cells - 1 :])[::-1]
    kept = _fitting(pieces, cells)
    if len(kept) == len(pieces) and len(text) <= cells + 1:
        return "".join(reversed(kept))
    return ELLIPSIS + "".join(reversed(_fitting(pieces, cells - 1)))


def clip(text: str, *, cells: int) -> str:
    """Bound text that should be visible already: made `harmless`, not escaped again."""
    shown = harmless(text)
    if width(shown) <= cells:
        return shown
    return "".join(_fitting(shown, cells - 1)) + ELLIPSIS


def wrapped(text: str, *, cells: int, most: int, indent: str = "") -> list[str]:
    """Lines of text that should be visible already, broken at spaces, each in ``cells`` cells.

    Args:
        text: made `harmless`, not escaped again; spaces at its start stay.
        cells: of a line, its indent included.
        most: lines; what does not fit into these is cut off and marked.
        indent: of every line but the first.
    """
    lines, line = [], ""
    for word in _words(harmless(text)):
        if line.strip() and width(line + word.rstrip(" ")) > cells:
            lines.append(line.rstrip(" "))
            line = indent
        line += word
        while width(line.rstrip(" ")) > cells:
            kept = "".join(_fitting(line, cells))
            lines.append(kept)
            line = indent + line[len(kept) :]
    lines.append(line.rstrip(" "))
    if len(lines) > most:
        rest = lines[most - 1] + " " + " ".join(each.strip() for each in lines[most:])
        lines[most - 1 :] = [clip(rest, cells=cells)]
    return lines


def _words(text: str) -> list[str]:
    """Words with the spaces behind them; spaces at the start belong to the first."""
    return re.findall(r"^ *[^ ]+ *|[^ ]+ *", text)


def width(text: str) -> int:
    """Terminal cells that visible ``text`` takes: East Asian wide characters take two."""
    return sum(_cells(character) for character in text)


def _pieces(text: str) -> list[str]:
    """One visible piece a character."""
    pieces = [_piece(character) for character in text]
    if text and unicodedata.category(text[0]) in _COMBINING:
        # It would otherwise join whatever is printed before it.
        pieces[0] = _escaped(text[0])
    return pieces


def _piece(character: str) -> str:
    category = unicodedata.category(character)
    odd_space = category in _SPACES and character != " "
    return (
        _escaped(character) if category in _HIDDEN or character == "\\" or odd_space else character
    )


def _in_json(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = range(0, len(units), 2)
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in pairs)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _cells(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitting(pieces: Iterable[str], cells: int) -> list[str]:
    kept, left = [], cells
    for piece in pieces:
        left -= max(1, width(piece))
        if left < 0:
            break
        kept.append(piece)
    return kept


def first_line(error: BaseException) -> str:
    """What an error of another library says first, fit to be shown."""
    return visible(next((line for line in str(error).splitlines() if line.strip()), repr(error)))
