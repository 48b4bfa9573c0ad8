"""Keep the scores of a run's draws beside its records.

A line in the records holds the digest of the file, and is written before the file is put in place:
after a kill at any moment the file is one that the records know.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from equivcheck.core.generation import Generation
from equivcheck.records.records import ScoresRecord
from equivcheck.records.score_table_file import (
    SCORES_NAME,
    digest_of,
    digest_of_outputs,
    write_scores,
)

if TYPE_CHECKING:
    from equivcheck.records.records_file import RecordsWriter
    from equivcheck.records.score_table import ScoreTable


def keep_scores(
    folder: Path, table: ScoreTable, outputs: Mapping[str, Generation], *, writer: RecordsWriter
) -> ScoresRecord:
    """Put a table in the place of an earlier, shorter one, and note it in the records.

    `outputs` are what it is about, by key.
    """
    fresh = folder / f"{SCORES_NAME}.new"
    write_scores(fresh, table, about=digest_of_outputs(table.keys, outputs))
    scored = ScoresRecord(outputs=len(table.keys), tokens=table.rows, sha256=digest_of(fresh))
    writer.append(scored)
    fresh.replace(folder / SCORES_NAME)
    return scored
