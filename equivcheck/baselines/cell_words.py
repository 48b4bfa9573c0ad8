"""One figure of two runs in words, the mark first."""

from __future__ import annotations

from equivcheck.baselines.cells import Cell, State

MARKS: dict[State, str] = {
    "same": "=",
    "noise": "~",
    "better": "+",
    "worse": "✗",
    "inconclusive": "?",
    "not comparable": "x",
    "absent": "",
}
LEGEND = "= the same · ~ not significant · + better · ✗ worse · ? inconclusive · x not comparable"


def from_to(cell: Cell) -> str:
    """``0.61 → 0.58``."""
    if cell.base is None and cell.new is None:
        return MARKS[cell.state]
    return " → ".join("n/a" if each is None else f"{each:.2f}" for each in (cell.base, cell.new))


def change_words(cell: Cell, *, relative: bool = False) -> str:
    """``✗ -0.21 [-0.25, -0.17]``, or with ``relative`` ``~ +1 % [-2 %, +4 %]``."""
    if cell.change is None:
        return MARKS[cell.state]

    def shown(value: float) -> str:
        return f"{100 * value:+.1f} %" if relative else f"{value:+.3f}"

    words = f"{MARKS[cell.state]} {shown(cell.change)}".strip()
    if cell.interval is not None:
        words += f" [{shown(cell.interval.low)}, {shown(cell.interval.high)}]"
    return words
