"""What `equivcheck merge` does: from the folders of all shards to one judged run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equivcheck.baselines.adopt import adopt_baseline
from equivcheck.checks.verdict import Verdict, judge
from equivcheck.core.atomic_write import writing
from equivcheck.core.errors import RecordsError
from equivcheck.records.records import SAMPLED, Evidence, ScoresRecord
from equivcheck.records.records_file import (
    RECORDS_NAME,
    RecordsWriter,
    last_seal,
    read_evidence,
    seal,
)
from equivcheck.records.run_folder import clear, is_unfinished
from equivcheck.records.score_table_file import (
    SCORES_NAME,
    concatenate,
    digest_of,
    digest_of_outputs,
    write_scores,
)
from equivcheck.report.view import view_of
from equivcheck.report.write import write_reports

if TYPE_CHECKING:
    from equivcheck.records.merging import ShardRun
    from equivcheck.records.records import Header
    from equivcheck.records.score_table import ScoreTable

SHARDS = "shard-*-of-*"


def merge(folders: Sequence[Path], out: Path) -> tuple[Evidence, Verdict]:
    """Merge shards into a run in ``out``, judge it and write its reports.

    Every line of every shard is checked against its seal, and scores against their digest. The
    merged lines are sealed anew; the header holds the last seal of each shard. Nothing is written
    before all shards are found to fit; a finished run in ``out`` is replaced.

    Args:
        folders: Of shards, or with shards in them.
        out: The merged run's.

    Raises:
        RecordsError: a shard is missing, doubled, unfinished, damaged or of another run, or an
            unfinished run is in the way.
    """
    # Loads numpy, which the verbs that only import this module do without.
    from equivcheck.records.merging import in_turn, merged_header, merged_records

    runs = in_turn([_read(folder) for folder in found(folders)])
    if is_unfinished(out):
        raise RecordsError(f"{out}: holds an unfinished run; merge into another folder with --out")
    header = merged_header(runs, run=out.resolve().name)
    records = out / RECORDS_NAME
    partial = out / f"{RECORDS_NAME}.merging"
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
    scores = _scores(runs, header)
    fresh = out / f".{SCORES_NAME}.merging"
    with RecordsWriter.create(partial, header) as writer:
        writer.append(*merged_records(runs, header))
        if scores is not None:
            draws = {
                key: draw
                for run in runs
                for key, draw in run.evidence.draws.get(SAMPLED, {}).items()
            }
            write_scores(fresh, scores, about=digest_of_outputs(scores.keys, draws))
            told = ScoresRecord(
                outputs=len(scores.keys), tokens=scores.rows, sha256=digest_of(fresh)
            )
            writer.append(told)
    del runs, scores
    with writing(out):
        clear(out)
        if fresh.exists():
            fresh.replace(out / SCORES_NAME)
        partial.replace(records)
    adopt_baseline(records)
    evidence = read_evidence(records, compact=True)
    verdict = judge(evidence)
    seal(records, findings=verdict.findings, sealed=verdict.sealed())
    write_reports(out, view_of(evidence, verdict))
    return evidence, verdict


def found(folders: Sequence[Path]) -> list[Path]:
    """Folders of shards, each once: those named, and those in a named one that is no shard.

    Raises:
        RecordsError: one holds no run and no shard.
    """
    every: list[Path] = []
    for folder in folders:
        inside = sorted(path for path in folder.glob(SHARDS) if (path / RECORDS_NAME).is_file())
        if not inside and not (folder / RECORDS_NAME).is_file():
            raise RecordsError(f"{folder}: no shards are there")
        every += inside or [folder]
    return list({path.resolve(): path for path in every}.values())


def _read(folder: Path) -> ShardRun:
    from equivcheck.records.merging import ShardRun

    evidence = read_evidence(folder, compact=True)
    return ShardRun(str(folder), evidence, last_seal(folder / RECORDS_NAME))


def _scores(runs: Sequence[ShardRun], header: Header) -> ScoreTable | None:
    """The scores of all shards in the order of the merged draws; None where one has none.

    Raises:
        RecordsError: they do not fit each other.
    """
    from equivcheck.records.sample_keys import in_order
    from equivcheck.records.score_table_order import in_order_of

    drawing = [run.evidence for run in runs if run.evidence.draws.get(SAMPLED)]
    tables = [each.scores for each in drawing if each.scores is not None]
    if not tables or len(tables) < len(drawing):
        return None
    try:
        table = concatenate(tables)
    except ValueError as error:
        raise RecordsError(f"scores of shards do not fit each other: {error}") from error
    return in_order_of(table, in_order(table.keys, header.planned[SAMPLED]))
