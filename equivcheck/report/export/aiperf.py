"""The candidate's acceptance, request by request, as AIPerf's ``profile_export.jsonl`` has it.

AIPerf (0.12 and later) keeps one engine-neutral record a request under ``spec_decode_acceptance``.
Its counts are of verify steps that had drafts, as vLLM counts them. An answer whose engine tells no
steps has no histogram, and AIPerf refuses a record without one: such a line comes without a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, Evidence, RequestRecord
from equivcheck.statistics.acceptance_rate import acceptance_of

TOOL = "equivcheck"
_NANO = 10**9


class Exported(NamedTuple):
    """What came of a run."""

    text: str
    """A line a request."""
    without: int
    """Lines without a record of acceptance, because nothing was drafted or no steps are told."""


def aiperf_of(evidence: Evidence) -> Exported:
    """The candidate's answers in the order of the suites."""
    lines = list(_lines(evidence))
    without = sum("spec_decode_acceptance" not in line for line in lines)
    encoded = (msgspec.json.encode(line).decode() + "\n" for line in lines)
    return Exported("".join(encoded), without)


def _lines(evidence: Evidence) -> Iterator[dict[str, Any]]:
    captured = evidence.captured.get(CANDIDATE, {})
    arm = evidence.header.arms.get(CANDIDATE)
    began = _nanoseconds(evidence.header.created)
    for number, (key, asked) in enumerate(evidence.asked.items()):
        if key not in captured:
            continue
        answer = captured[key].generation
        line = {
            "metadata": _metadata(asked, number=number, began=began, answer=answer),
            "metrics": dict(_metrics(answer)),
        }
        record = acceptance_record(
            answer,
            engine=arm.engine if arm else TOOL,
            most=arm.num_speculative_tokens if arm else 0,
        )
        yield line if record is None else line | {"spec_decode_acceptance": record}


def acceptance_record(answer: Generation, *, engine: str, most: int) -> dict[str, Any] | None:
    """One answer's record; None where nothing was drafted or its steps are not told.

    Args:
        answer: What an engine produced.
        engine: Who it was.
        most: Drafts that a step may have; 0: not known.
    """
    found = acceptance_of([answer])
    if not found.num_spec_steps or found.mean_length is None or found.rate is None:
        return None
    steps = [step for step in answer.steps if step.drafted]
    return {
        "engine": engine,
        "mean_acceptance_length": found.mean_length,
        "draft_acceptance_rate": found.rate,
        "acceptance_histogram": {str(count): steps for count, steps in found.histogram.items()},
        "num_accepted_draft_tokens": found.num_accepted_draft_tokens,
        "num_draft_tokens": found.num_draft_tokens,
        "num_spec_steps": found.num_spec_steps,
        "num_spec_tokens": most or None,
        "completion_tokens": len(answer.token_ids),
        "per_step_accepted": [step.accepted for step in steps],
        "per_step_drafted": [step.drafted for step in steps],
    }


def _metadata(
    asked: RequestRecord, *, number: int, began: int, answer: Generation
) -> dict[str, Any]:
    """Who asked what; the times are the run's beginning, because no request's own is recorded."""
    session = f"{asked.workload}/{asked.session}" if asked.session else asked.request.key
    return {
        "session_num": number,
        "conversation_id": session,
        "turn_index": len(asked.before),
        "request_start_ns": began,
        "request_end_ns": began + round((answer.total_seconds or 0.0) * _NANO),
        "worker_id": TOOL,
        "record_processor_id": TOOL,
        "benchmark_phase": "profiling",
    }


def _metrics(answer: Generation) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "input_sequence_length", {"value": answer.prompt_tokens, "unit": "tokens"}
    yield "output_sequence_length", {"value": len(answer.token_ids), "unit": "tokens"}
    if answer.total_seconds is not None:
        yield "request_latency", {"value": answer.total_seconds * 1000, "unit": "ms"}


def _nanoseconds(created: str) -> int:
    try:
        return round(datetime.fromisoformat(created).timestamp() * _NANO)
    except (ValueError, OverflowError):
        return 0
