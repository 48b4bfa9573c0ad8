"""Where a request was decoded, in words: its row, what the row served before, its neighbours."""

from __future__ import annotations

from equivcheck.core.escape import visible
from equivcheck.records.company import Seat

MOST_NAMED = 7
"""Neighbours that are named."""


def seat_words(seat: Seat) -> str:
    """``row 2 of 8, refilled 3 times, beside code/a, code/b and 4 more``."""
    return ", ".join(part for part in (row_words(seat), _neighbours(seat)) if part)


def row_words(seat: Seat) -> str:
    """``row 2 of 8, refilled 3 times``; empty where the row is not known."""
    if seat.row is None:
        return ""
    times = {0: "", 1: ", refilled once"}.get(seat.served, f", refilled {seat.served} times")
    return f"row {seat.row} of {seat.rows}{times}"


def _neighbours(seat: Seat) -> str:
    if not seat.beside:
        return "alone" if seat.row is not None or len(seat.together) == 1 else ""
    named = ", ".join(visible(key) for key in seat.beside[:MOST_NAMED])
    more = len(seat.beside) - MOST_NAMED
    return f"beside {named}" + (f" and {more} more" if more > 0 else "")
