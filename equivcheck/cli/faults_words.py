"""The matrix in words and for machines: what `equivcheck faults` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from equivcheck.core.escape import clip
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Interval, Outcome
from equivcheck.fault_matrix.result import Result
from equivcheck.fault_matrix.seeds import Runs, Spread, Unit, by_entry
from equivcheck.fault_matrix.share import Share
from equivcheck.fault_matrix.tally import Tally, sentence
from equivcheck.report.layout import columns


class Rate(Struct, frozen=True, kw_only=True):
    """Some of many, for machines."""

    part: int
    whole: int
    interval: Interval | None
    """95 %, of the rate, exact."""


class FaultSummary(Struct, frozen=True, kw_only=True):
    """One fault or control over its seeds, for machines."""

    id: str
    runs: int
    caught: int
    accused: int
    unit: Unit
    tokens: Spread | None
    """To detection, over the runs that were caught: median, least and most."""


class Document(Struct, frozen=True, kw_only=True):
    """All that was found."""

    summary: str
    detected: Rate
    """Runs of faults."""
    accused: Rate
    """Control runs."""
    tokens: dict[Unit, float]
    """The median fault's tokens to detection."""
    entries: tuple[FaultSummary, ...]
    results: tuple[Result, ...]
    missing: tuple[str, ...]
    """Entries without a result, as a folder may hold few."""
    exit_code: int


def document_of(
    results: Sequence[Result], counted: Tally, *, missing: Sequence[str] = ()
) -> Document:
    """The matrix for machines; where entries are missing it is not known whether all is well."""
    return Document(
        summary=sentence(counted),
        detected=_rate(counted.detected),
        accused=_rate(counted.accused),
        tokens=counted.tokens,
        entries=tuple(map(_entry, by_entry(results))),
        results=tuple(results),
        missing=tuple(missing),
        exit_code=counted.exit_code or (EXIT_CODES[Outcome.INCONCLUSIVE] if missing else 0),
    )


def _rate(share: Share) -> Rate:
    return Rate(part=share.part, whole=share.whole, interval=share.interval)


def _entry(runs: Runs) -> FaultSummary:
    return FaultSummary(
        id=runs.first.id,
        runs=len(runs.results),
        caught=runs.caught.part,
        accused=runs.accused.part,
        unit=runs.unit,
        tokens=runs.tokens,
    )


def lines_of(results: Sequence[Result]) -> Iterator[str]:
    """A line a fault and control, and what was said in each run that is not as it should be."""
    yield from columns(
        [
            (
                _state(runs),
                "control" if runs.first.sound else runs.first.family,
                runs.first.id,
                runs.first.caught_by,
                _seen(runs),
                _runs(runs),
            )
            for runs in by_entry(results)
        ]
    )
    for result in results:
        if not result.caught:
            seed = f" with seed {result.seed}" if result.seed else ""
            missing = f"; did not occur: {', '.join(result.missing)}" if result.missing else ""
            yield ""
            yield clip(f"{result.id}{seed}: {result.said}: {result.headline}{missing}", cells=400)


def _state(runs: Runs) -> str:
    if not runs.first.sound:
        return "✓ caught" if runs.always_caught else "✗ MISSED"
    mark = "✓" if runs.always_caught else "✗"
    if runs.accused.part:
        return f"{mark} ACCUSED"
    return f"{mark} {runs.first.said if len(runs.results) == 1 else runs.said_words()}"


def _seen(runs: Runs) -> str:
    return "" if runs.first.sound or runs.tokens is None else f"after {runs.tokens} tokens"


def _runs(runs: Runs) -> str:
    if len(runs.results) == 1:
        return ""
    return (
        f"accused in {runs.accused} runs" if runs.first.sound else f"caught in {runs.caught} runs"
    )
