"""Grades a query by the rows it returns from an SQLite database in memory, which it cannot change.

Two reals are equal to twelve significant digits; a real that is whole equals the integer.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from typing import Any

MOST_ROWS = 10_000
LONGEST_VALUE = 2**20
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_INSTRUCTIONS_BETWEEN_LOOKS = 1000
_SHARE_OF_TIME = 0.8
"""Share of the job's time, so that the query ends before the whole process is ended."""


def judge(job: dict[str, Any]) -> tuple[bool, str]:
    """Run the query and compare.

    Raises:
        ValueError: the fixture is no script that SQLite runs.
    """
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(job["fixture"])
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        raise ValueError(f"fixture: {error}") from None
    deadline = time.monotonic() + job["seconds"] * _SHARE_OF_TIME
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    database.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
    database.set_authorizer(_authorise)
    database.set_progress_handler(
        lambda: int(time.monotonic() > deadline), _INSTRUCTIONS_BETWEEN_LOOKS
    )
    try:
        cursor = database.execute(job["text"])
        if cursor.description is None:
            return False, "is no query"
        found = cursor.fetchmany(MOST_ROWS + 1)
    except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError) as error:
        if time.monotonic() > deadline:
            return False, "the query takes too long"
        return False, f"the query fails: {error}"
    if len(found) > MOST_ROWS:
        return False, f"returns more than {MOST_ROWS:,} rows"
    return _compare(found, wanted=job["rows"], ordered=job.get("ordered", False))


def _authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    loading = action == sqlite3.SQLITE_FUNCTION and second == "load_extension"
    return sqlite3.SQLITE_OK if action in _ALLOWED and not loading else sqlite3.SQLITE_DENY


def _compare(found: list[Any], *, wanted: list[Any], ordered: bool) -> tuple[bool, str]:
    have, want = ([tuple(map(_cell, row)) for row in rows] for rows in (found, wanted))
    if have == want:
        return True, "returns the expected rows"
    if len(have) != len(want):
        return False, f"returns {len(have)} rows, not {len(want)}"
    if Counter(have) == Counter(want):
        if ordered:
            return False, "returns the expected rows in another order"
        return True, "returns the expected rows"
    stray = next(iter(Counter(have) - Counter(want)))
    return False, f"returns a row that is not expected: {stray!r:.200}"


def _cell(value: object) -> object:
    return float(f"{value:.12g}") if isinstance(value, float) else value
