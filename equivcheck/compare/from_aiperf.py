"""Take the acceptance of every prompt from AIPerf's ``profile_export.jsonl``.

The records say how many drafts were accepted and nothing of the tokens, so that what is taken is
never a pass: a comparison of two of them tells a drop of acceptance, or stays inconclusive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from equivcheck.conversion.read import records_of
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.foreign import is_aiperf
from equivcheck.core.generation import Counts
from equivcheck.core.validation import decoded, explain
from equivcheck.records.baseline_record import SCHEMA, Baseline, CaseFact

WORKLOAD = "aiperf"
WARMUP = "warmup"
HEADLINE = "AIPerf's records tell acceptance alone; no tokens were compared"
Natural = Annotated[int, Meta(ge=0, le=2**53)]


INPUTS = "inputs.json"
"""What AIPerf asked, in the folder of its records: conversation to the body of each turn."""
_SERVED_BY = ("model", "stream")
"""Of a body: what says who answers and how, and not what is asked."""


class _Session(Struct):
    session_id: str
    payloads: tuple[dict[str, Any], ...]


class _Inputs(Struct):
    data: tuple[_Session, ...]


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

    A prompt is known by what was asked where `INPUTS` lies beside the records, because AIPerf names
    conversations at random unless it is given a seed; else by its conversation and turn.

    Raises:
        RecordsError: the file cannot be read, a line is no record of AIPerf, the counts of one
            exclude each other, or none tells of acceptance.
    """
    inputs = path.parent / INPUTS
    bodies = _bodies(inputs) if inputs.is_file() else {}
    asked = list(_asked(path, bodies=bodies))
    told = [each.told for each in asked if each.told is not None]
    if not told:
        raise RecordsError(
            f"{path}: no request has spec_decode_acceptance; AIPerf writes it with "
            "--export-level records where the server reports acceptance"
        )
    counts: dict[str, Counts] = {}
    for each in asked:
        before = counts.get(each.key, Counts(drafted=0, accepted=0))
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
        facts={
            "candidate.num_speculative_tokens": ", ".join(map(str, lengths)) or "not told",
            "prompts known by": INPUTS if bodies else "conversation and turn",
        },
        under_test={"candidate": engines},
        environment={},
        cases={
            key: CaseFact(
                drafted=each.drafted,
                accepted=each.accepted,
                outcome=Outcome.INCONCLUSIVE,
                state=Reason.NOTHING_COMPARED.value,
            )
            for key, each in counts.items()
        },
        unsealed=True,
    )


def _asked(path: Path, *, bodies: Mapping[str, str]) -> Iterator[_Asked]:
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
        name = _name(line.metadata)
        if bodies and name not in bodies:
            raise RecordsError(f"{where}: {INPUTS} has no {name}")
        key = f"{WORKLOAD}/{bodies.get(name, name)}"
        yield _Asked(key, told, line.metadata.request_start_ns)


def _name(metadata: _Metadata) -> str:
    """Name of a request: its conversation and turn, or its number."""
    return _turn(metadata.conversation_id or str(metadata.session_num), metadata.turn_index or 0)


def _turn(conversation: str, index: int) -> str:
    return f"{conversation}#{index}" if index else conversation


def _bodies(inputs: Path) -> dict[str, str]:
    """Conversation and turn to a digest of what was asked."""
    try:
        told = decoded(msgspec.json.Decoder(_Inputs).decode, inputs.read_bytes())
    except OSError as error:
        raise RecordsError(f"{inputs}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise RecordsError(f"{inputs}: {explain(error, {})}") from error
    return {
        _turn(session.session_id, index): _digest(body)
        for session in told.data
        for index, body in enumerate(session.payloads)
    }


def _digest(body: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in body.items() if name not in _SERVED_BY}
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()[:16]


def _added(before: Counts, told: _Acceptance) -> Counts:
    return Counts(
        drafted=before.drafted + told.num_draft_tokens,
        accepted=before.accepted + told.num_accepted_draft_tokens,
    )


def _time(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return "?"
