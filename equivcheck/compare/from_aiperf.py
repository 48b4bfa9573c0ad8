"""Take the acceptance of every prompt from AIPerf's ``profile_export.jsonl``.

The records say how many drafts were accepted and nothing of the tokens, so that what is taken is
never a pass: a comparison of two of them tells a drop of acceptance, or stays inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from equivcheck.conversion.read import records_of
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.foreign import is_aiperf
from equivcheck.core.generation import Counts
from equivcheck.core.validation import explain
from equivcheck.records.baseline_record import SCHEMA, Baseline, CaseFact

WORKLOAD = "aiperf"
WARMUP = "warmup"
HEADLINE = "AIPerf's records tell acceptance alone; no tokens were compared"
Natural = Annotated[int, Meta(ge=0, le=2**53)]


class _Metadata(Struct):
    session_num: int
    benchmark_phase: str
    conversation_id: str | None = None
    turn_index: int | None = None
    request_start_ns: int = 0


class _Acceptance(Struct):
    engine: str
    num_accepted_draft_tokens: Natural
    num_draft_tokens: Natural
    num_spec_steps: Natural
    acceptance_histogram: dict[Annotated[int, Meta(ge=0)], Natural] | None = None
    num_spec_tokens: Natural | None = None

    def contradiction(self) -> str | None:
        """In which its counts exclude each other; None: in nothing."""
        if self.num_accepted_draft_tokens > self.num_draft_tokens:
            return f"accepted {self.num_accepted_draft_tokens} of {self.num_draft_tokens} drafted"
        if self.acceptance_histogram is None:
            return None
        steps = sum(self.acceptance_histogram.values())
        accepted = sum(count * times for count, times in self.acceptance_histogram.items())
        if steps != self.num_spec_steps:
            return f"{self.num_spec_steps} steps, {steps} of them in the histogram"
        if accepted != self.num_accepted_draft_tokens:
            return f"accepted {self.num_accepted_draft_tokens}, {accepted} by the histogram"
        return None


class _Line(Struct):
    metadata: _Metadata
    spec_decode_acceptance: _Acceptance | None = None
    error: object | None = None


class _Asked(NamedTuple):
    key: str
    told: _Acceptance | None
    began: int


def aiperf_baseline(path: Path, *, name: str) -> Baseline:
    """What the records say of each prompt; requests of one prompt are counted together.

    Raises:
        RecordsError: the file cannot be read, a line is no record of AIPerf, the counts of one
            exclude each other, or none tells of acceptance.
    """
    asked = list(_asked(path))
    told = [each.told for each in asked if each.told is not None]
    if not told:
        raise RecordsError(
            f"{path}: no request has spec_decode_acceptance; AIPerf writes it with "
            "--export-level records where the server reports acceptance"
        )
    counts: dict[str, Counts] = {}
    for each in asked:
        before = counts.get(each.key, Counts(0, 0))
        counts[each.key] = before if each.told is None else _added(before, each.told)
    engines = ", ".join(sorted({each.engine for each in told}))
    lengths = sorted({each.num_spec_tokens for each in told if each.num_spec_tokens is not None})
    return Baseline(
        equivcheck_baseline=SCHEMA,
        kind="aiperf",
        name=name,
        run=str(path),
        created=_time(min(each.began for each in asked)),
        verdict=Outcome.INCONCLUSIVE,
        headline=HEADLINE,
        facts={"candidate.num_speculative_tokens": ", ".join(map(str, lengths)) or "not told"},
        under_test={"candidate": engines},
        environment={},
        cases={
            key: CaseFact(
                drafted=drafted,
                accepted=accepted,
                outcome=Outcome.INCONCLUSIVE,
                state=Reason.NOTHING_COMPARED.value,
            )
            for key, (drafted, accepted) in counts.items()
        },
        unsealed=True,
    )


def _asked(path: Path) -> Iterator[_Asked]:
    """The requests that were measured and answered, in the order of the file."""
    for found in records_of(path):
        where = f"{path}:{found.place}"
        if found.record is None or not is_aiperf(found.record):
            raise RecordsError(f"{where}: {found.why or 'no record of AIPerf'}")
        try:
            line = msgspec.convert(found.record, _Line, str_keys=True)
        except msgspec.ValidationError as error:
            raise RecordsError(f"{where}: {explain(error, {})}") from error
        if line.error is not None or line.metadata.benchmark_phase == WARMUP:
            continue
        told = line.spec_decode_acceptance
        if told is not None and (wrong := told.contradiction()):
            raise RecordsError(f"{where}: {wrong}")
        yield _Asked(_key(line.metadata), told, line.metadata.request_start_ns)


def _key(metadata: _Metadata) -> str:
    """Of a prompt: its conversation and turn, or the number of the request."""
    name = metadata.conversation_id or str(metadata.session_num)
    turn = f"#{metadata.turn_index}" if metadata.turn_index else ""
    return f"{WORKLOAD}/{name}{turn}"


def _added(before: Counts, told: _Acceptance) -> Counts:
    return Counts(
        before.drafted + told.num_draft_tokens, before.accepted + told.num_accepted_draft_tokens
    )


def _time(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return "?"
