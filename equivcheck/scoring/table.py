"""Puts the columns of a `ScoreTable` together as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.replays import Replays
from equivcheck.records.score_table import (
    ALTERNATIVES,
    BINS,
    CODES,
    NUMBERS,
    WIDE,
    ScoreTable,
    Support,
    Twin,
)
from equivcheck.scoring.places import Places

WIDTHS = {"log_ratio": len(ALTERNATIVES)} | dict.fromkeys(WIDE, BINS)
"""Columns of more than one number a row."""


class TableBuilder:
    """A table to be filled in any order of its rows."""

    def __init__(self, keys: Sequence[str], where: Places) -> None:
        """Make room for the outputs' tokens; one that is never filled in is not judged."""
        self.keys, self.where = tuple(keys), where
        rows = len(where.token)
        self.columns: dict[str, NDArray[Any]] = {
            name: np.zeros((rows, WIDTHS[name]) if name in WIDTHS else rows, np.float32)
            for name in NUMBERS
        } | {name: np.zeros(rows, np.uint8) for name in CODES if name != "twin"}
        self.columns["support"][:] = Support.UNKNOWN

    def fill(self, first: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write consecutive rows of all columns that depend on a distribution."""
        for name, values in columns.items():
            self.columns[name][first : first + len(values)] = values

    def rule_out(self, rows: NDArray[np.bool_]) -> None:
        """Mark tokens [N] as impossible, whatever was filled in for them."""
        self.columns["support"][rows] = Support.OUTSIDE
        self.columns["log_ratio"][rows] = 0.0
        self.columns["surprisal"][rows] = np.inf

    def table(self, *, draft_distribution: str, replays: Replays | None = None) -> ScoreTable:
        """The finished table."""
        where, columns = self.where, dict(self.columns)
        columns["crossing_mass"] = np.where(
            where.compared, columns["crossing_mass"], np.float32(np.nan)
        )
        crossed = (where.earlier == where.token[:, None]).any(axis=1) & where.compared
        columns["twin_prob"] = np.where(
            where.twin != Twin.NONE, columns["twin_prob"], np.float32(0.0)
        )
        return ScoreTable(
            keys=self.keys,
            starts=where.starts,
            alternatives=ALTERNATIVES,
            draft_distribution=draft_distribution,
            ends=where.ends,
            crossed=crossed,
            twin=where.twin,
            replays=replays,
            **columns,
        )
