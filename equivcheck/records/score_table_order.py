"""The rows of a table of scores in another order of its outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from equivcheck.records.replays import KINDS, Replays
from equivcheck.records.score_table import ScoreTable
from equivcheck.records.score_table_file import column_names


def in_order_of(table: ScoreTable, keys: Sequence[str]) -> ScoreTable:
    """The same scores with outputs in the order of ``keys``, which are the table's.

    What a row says of earlier outputs stays true as long as these stay earlier.
    """
    place = {key: index for index, key in enumerate(table.keys)}
    chosen = np.array([place[key] for key in keys], dtype=np.int64)
    lengths = np.diff(table.starts)[chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    within = np.arange(table.rows) - np.repeat(starts[:-1], lengths)
    rows = np.repeat(table.starts[:-1][chosen], lengths) + within
    columns = {name: getattr(table, name)[rows] for name in column_names() if name != "starts"}
    replays = table.replays
    if replays is not None:
        replays = Replays(**{name: getattr(replays, name)[rows] for name in KINDS})
    return dataclasses.replace(table, keys=tuple(keys), starts=starts, replays=replays, **columns)
