"""A run as Prometheus metrics: vLLM's names under our own prefix, by arm and workload.

Counts and durations only; rates are for whoever queries. An acceptance rate is accepted tokens
divided by draft tokens, and a verify step is a draft in vLLM's words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from equivcheck.checks.verdict import Verdict
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.report.export.exposition import Family, Sample, histogram, label, render
from equivcheck.report.view import view_of
from equivcheck.statistics.acceptance_rate import AcceptanceCounts, acceptance_of

PREFIX = "equivcheck_"


class Group(NamedTuple):
    """What one arm answered of one workload."""

    labels: dict[str, str]
    answers: list[Generation]


def metrics_of(evidence: Evidence, verdict: Verdict) -> str:
    """The run in Prometheus' text format."""
    groups = list(_groups(evidence))
    return render(
        [
            *_about_run(evidence, verdict),
            *_about_speculation(groups),
            *_about_requests(groups),
            *_latencies(groups),
        ]
    )


def _groups(evidence: Evidence) -> Iterator[Group]:
    for arm, captured in evidence.captured.items():
        gathered: dict[str, list[Generation]] = {}
        for key, asked in evidence.asked.items():
            if key in captured:
                gathered.setdefault(label(asked.workload), []).append(captured[key].generation)
        for workload, answers in gathered.items():
            yield Group({"arm": label(arm), "workload": workload}, answers)


def _about_run(evidence: Evidence, verdict: Verdict) -> Iterator[Family]:
    header, view = evidence.header, view_of(evidence, verdict)
    setup = header.settings.setup
    told = {"run": header.run, "pair": setup.pair, "dtype": setup.dtype}
    told |= {arm: header.arms[arm].engine for arm in (TARGET, CANDIDATE) if arm in header.arms}
    told["commit"] = header.git_commit or ""
    facts = {name: label(text) for name, text in told.items()}
    yield _gauge("run_info", "What was run; always 1.", [Sample(facts, 1)])
    yield _gauge(
        "run_created_timestamp_seconds", "When the run was begun.", _created(header.created)
    )
    yield _gauge(
        "run_outcome",
        "1 for the run's outcome, 0 for the other two.",
        [Sample({"outcome": each.value}, each is verdict.outcome) for each in Outcome],
    )
    found = Counter((finding.check, finding.outcome.value) for finding in verdict.findings)
    yield _gauge(
        "findings",
        "Findings of each check by outcome.",
        [Sample({"check": check, "outcome": told}, n) for (check, told), n in found.items()],
    )
    for name, what, count in (
        ("compared_cases", "Cases compared with the target's answer.", "cases"),
        ("identical_cases", "Of these, cases with the same answer.", "identical"),
    ):
        totals: Counter[str] = Counter()
        for row in view.workloads:
            totals[label(row.workload)] += getattr(row, count)
        yield _gauge(name, what, [Sample({"workload": each}, n) for each, n in totals.items()])
    graded = Counter(
        (label(grade.arm), label(evidence.asked[grade.key].workload), grade.result)
        for grade in evidence.grades
        if grade.right is not None
    )
    yield _gauge(
        "graded_answers",
        "Answers graded by themselves, by result.",
        [
            Sample(
                {"arm": arm, "workload": workload, "result": result}, graded[arm, workload, result]
            )
            for arm, workload in dict.fromkeys((arm, workload) for arm, workload, _ in graded)
            for result in ("right", "wrong")
        ],
    )


def _about_speculation(groups: Sequence[Group]) -> Iterator[Family]:
    found = [(group.labels, acceptance_of(group.answers)) for group in groups]
    drafting = [(labels, acceptance) for labels, acceptance in found if acceptance.prompts]
    for name, what, count in (
        ("num_drafts", "Verify steps that had drafts.", "num_spec_steps"),
        ("num_draft_tokens", "Draft tokens put to the target.", "num_draft_tokens"),
        (
            "num_accepted_tokens",
            "Draft tokens accepted; the target's own token is not counted.",
            "num_accepted_draft_tokens",
        ),
    ):
        yield _counter(
            f"spec_decode_{name}_total",
            what,
            [
                Sample(labels, getattr(acceptance, count))
                for labels, acceptance in drafting
                if acceptance.by_step or count != "num_spec_steps"
            ],
        )
    yield _counter(
        "spec_decode_num_accepted_tokens_per_pos_total",
        "Verify steps that accepted the draft at this position, counted from 0.",
        [
            Sample({**labels, "position": str(position)}, steps)
            for labels, acceptance in drafting
            for position, steps in enumerate(_by_position(acceptance))
        ],
    )


def _by_position(acceptance: AcceptanceCounts) -> tuple[int, ...]:
    """Accepted drafts by slot, up to the longest block drafted."""
    told = acceptance.accepted_by_slot
    return told + (0,) * (max(acceptance.drafted_lengths, default=0) - len(told))


def _about_requests(groups: Sequence[Group]) -> Iterator[Family]:
    yield _counter(
        "prompt_tokens_total",
        "Prompt tokens read.",
        [_total(group, lambda answer: answer.prompt_tokens) for group in groups],
    )
    yield _counter(
        "generation_tokens_total",
        "Output tokens.",
        [_total(group, lambda answer: len(answer.token_ids)) for group in groups],
    )
    yield _counter(
        "request_success_total",
        "Answers, by why they ended.",
        [
            Sample({**group.labels, "finished_reason": reason}, count)
            for group in groups
            for reason, count in Counter(each.finish_reason for each in group.answers).items()
        ],
    )


def _latencies(groups: Sequence[Group]) -> Iterator[Family]:
    told: tuple[tuple[str, str, Callable[[Generation], Iterable[float | None]]], ...] = (
        (
            "time_to_first_token_seconds",
            "Reading the prompt.",
            lambda answer: [answer.prefill_seconds],
        ),
        (
            "inter_token_latency_seconds",
            "Between two emissions: a step, whose tokens come together.",
            lambda answer: [step.seconds for step in answer.steps],
        ),
        ("e2e_request_latency_seconds", "A whole request.", lambda answer: [answer.total_seconds]),
    )
    for name, what, durations in told:
        samples = [
            sample
            for group in groups
            if (known := [t for each in group.answers for t in durations(each) if t is not None])
            for sample in histogram(group.labels, known)
        ]
        yield Family(PREFIX + name, "histogram", what, samples)


def _total(group: Group, count: Callable[[Generation], int]) -> Sample:
    return Sample(group.labels, sum(map(count, group.answers)))


def _created(text: str) -> list[Sample]:
    try:
        return [Sample({}, datetime.fromisoformat(text).timestamp())]
    except ValueError:
        return []


def _gauge(name: str, what: str, samples: Sequence[Sample]) -> Family:
    return Family(PREFIX + name, "gauge", what, samples)


def _counter(name: str, what: str, samples: Sequence[Sample]) -> Family:
    return Family(PREFIX + name, "counter", what, samples)
