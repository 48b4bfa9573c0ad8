"""Keep the scores of a run's draws beside its records, and take no others for them.

A line in the records holds the digest of the file, and is written before the file is put in place:
after a kill at any moment the file is one that the records know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equivcheck.errors import RecordsError
from equivcheck.records import Scored
from equivcheck.scores_file import SCORES_NAME, read_scores, write_scores

if TYPE_CHECKING:
    from equivcheck.records_file import RecordsWriter
    from equivcheck.scores import ScoreTable


def keep_scores(folder: Path, table: ScoreTable, *, writer: RecordsWriter) -> Scored:
    """Put a table in the place of an earlier, shorter one, and note it in the records."""
    fresh = folder / f"{SCORES_NAME}.new"
    write_scores(fresh, table)
    scored = Scored(outputs=len(table.keys), tokens=table.rows, sha256=_digest(fresh))
    writer.append(scored)
    fresh.replace(folder / SCORES_NAME)
    return scored


def kept_scores(folder: Path, scored: Sequence[Scored]) -> ScoreTable | None:
    """The scores in a run's folder; None where there are none.

    Args:
        folder: The run's.
        scored: Which files will do.

    Raises:
        RecordsError: the file cannot be read, or is none of these.
    """
    path = folder / SCORES_NAME
    if not scored or not path.is_file():
        return None
    if _digest(path) not in {each.sha256 for each in scored}:
        raise RecordsError(f"{path}: holds other scores than those of this run's draws")
    return read_scores(path)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read: {error.strerror}") from error
