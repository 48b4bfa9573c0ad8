"""Keep the scores of a run's draws beside its records.

A line in the records holds the digest of the file, and is written before the file is put in place:
after a kill at any moment the file is one that the records know.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from equivcheck.records.records import Scored
from equivcheck.records.score_table_file import SCORES_NAME, digest_of, write_scores

if TYPE_CHECKING:
    from equivcheck.records.records_file import RecordsWriter
    from equivcheck.records.score_table import ScoreTable


def keep_scores(folder: Path, table: ScoreTable, *, writer: RecordsWriter) -> Scored:
    """Put a table in the place of an earlier, shorter one, and note it in the records."""
    fresh = folder / f"{SCORES_NAME}.new"
    write_scores(fresh, table)
    scored = Scored(outputs=len(table.keys), tokens=table.rows, sha256=digest_of(fresh))
    writer.append(scored)
    fresh.replace(folder / SCORES_NAME)
    return scored
