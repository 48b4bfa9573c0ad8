"""Go on with a finished run: draw another budget of sampled tokens on top of what it holds.

The same process goes on, so the guarantee is that of one test with more tokens. To start again
until a run passes would be another matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equivcheck.core.cases import Suite
from equivcheck.core.errors import OtherRunError, RecordsError
from equivcheck.core.settings import Settings
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.run_folder import other_than_asked


def finished_run(folder: Path, settings: Settings, suites: Sequence[Suite]) -> Evidence:
    """The run in ``folder``, if more can be drawn for it.

    Raises:
        OtherRunError: it is another run; names the first field that differs.
        RecordsError: there is none, it is unfinished, nothing was drawn for it, its scores are
            gone, or its distribution is refuted.
    """
    from equivcheck.checks.sampled import distribution_of

    if not (folder / RECORDS_NAME).is_file():
        raise RecordsError(f"{folder}: --continue, but no run is there")
    evidence = read_evidence(folder)
    if other := other_than_asked(evidence, settings, suites):
        raise OtherRunError(f"{folder}: holds a run with {other}")
    if evidence.sealed is None:
        raise RecordsError(f"{folder}: the run is unfinished; run the same without --continue")
    if evidence.header.merged:
        raise RecordsError(f"{folder}: merged from shards; nothing more is drawn for it")
    if not evidence.draws.get(SAMPLED):
        raise RecordsError(f"{folder}: nothing was drawn in this run, so there is no more to draw")
    if (distribution := distribution_of(evidence)) is not None and distribution.broken:
        raise RecordsError(
            f"{folder}: the distribution is refuted; more draws cannot take that back"
        )
    return evidence


def tokens_drawn(evidence: Evidence) -> int:
    """Tokens of all draws of the arm `sampled`."""
    return sum(len(drawn.token_ids) for drawn in evidence.draws.get(SAMPLED, {}).values())
