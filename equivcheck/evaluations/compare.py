"""Two arms' graded answers to the same samples: a verdict on them, and a row for each metric.

All metrics share one error rate. A pass is either the same text everywhere, or a loss beyond the
margin excluded.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from equivcheck.checks.budget import ALPHA
from equivcheck.core.errors import SuiteError
from equivcheck.core.findings import Outcome, worst
from equivcheck.evaluations.answers import Evaluation, Task
from equivcheck.evaluations.metric import Metric, MetricTerms, Pair, judge

MOST_NAMED = 5


class ScoredEvaluation(Struct, frozen=True, kw_only=True):
    """The verdict on two evaluations."""

    outcome: Outcome
    samples: int
    """Answers that both arms have, epochs counted."""
    same_text: int
    with_text: int
    """Those of them with a text on both arms."""
    missing: tuple[str, ...]
    """What only one arm has, or was asked otherwise; the first few in words."""
    differing: tuple[str, ...]
    """Samples whose texts differ, the first few as TASK/ID."""
    metrics: tuple[Metric, ...]
    alpha: float
    """Where each metric's test rejects."""


def compare(*, a: Evaluation, b: Evaluation, margin: float) -> ScoredEvaluation:
    """Judge B, with speculation, by A, without.

    Raises:
        SuiteError: the two share no task.
    """
    if len(a) == len(b) == 1:
        # One log each: the files may be called anything.
        b = dict(zip(a, b.values(), strict=True))
    tasks = [name for name in a if name in b]
    if not tasks:
        raise SuiteError(f"no task is in both: A has {', '.join(a)}, B has {', '.join(b)}")
    gaps = [f"task {name}" for name in sorted(a.keys() ^ b.keys())]
    pairs = {name: _pairs(a[name], b[name]) for name in tasks}
    for name in tasks:
        gaps += [f"{name}/{sample}" for sample in sorted(_unpaired(a[name], b[name]))]
    both = [
        (f"{name}/{sample}", answers)
        for name, paired in pairs.items()
        for sample, epochs in paired.items()
        for answers in epochs
    ]
    texts = [
        (key, ours.text == theirs.text)
        for key, (ours, theirs) in both
        if ours.text is not None and theirs.text is not None
    ]
    other = list(dict.fromkeys(key for key, same in texts if not same))
    names = [(task, name) for task in tasks for name in _metrics(a[task], b[task])]
    alpha = ALPHA / max(len(names), 1)
    terms = MetricTerms(alpha=alpha, margin=margin)
    metrics = tuple(
        judge(task, name, pairs[task], of=len(a[task].keys() | b[task].keys()), terms=terms)
        for task, name in names
    )
    outcomes = [metric.outcome for metric in metrics]
    if gaps or not metrics:
        outcomes.append(Outcome.INCONCLUSIVE)
    return ScoredEvaluation(
        outcome=worst(outcomes),
        samples=len(both),
        same_text=sum(same for _, same in texts),
        with_text=len(texts),
        missing=_first(gaps),
        differing=_first(other),
        metrics=metrics,
        alpha=alpha,
    )


def _pairs(a: Task, b: Task) -> dict[str, list[Pair]]:
    """What both arms answered, asked alike, in every epoch that both have."""
    unpaired = _unpaired(a, b)
    return {
        sample: [(a[sample][epoch], b[sample][epoch]) for epoch in a[sample]]
        for sample in a
        if sample not in unpaired
    }


def _unpaired(a: Task, b: Task) -> set[str]:
    return (a.keys() ^ b.keys()) | {
        sample
        for sample in a.keys() & b.keys()
        if a[sample].keys() != b[sample].keys()
        or any(a[sample][epoch].prompt != b[sample][epoch].prompt for epoch in a[sample])
    }


def _metrics(*tasks: Task) -> list[str]:
    return list(dict.fromkeys(_names(tasks)))


def _names(tasks: tuple[Task, ...]) -> Iterator[str]:
    for task in tasks:
        for epochs in task.values():
            for answer in epochs.values():
                yield from answer.scores


def _first(names: list[str]) -> tuple[str, ...]:
    more = len(names) - MOST_NAMED
    return (*names[:MOST_NAMED], f"and {more} more") if more > 0 else tuple(names)
