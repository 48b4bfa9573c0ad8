"""Events about who shares a batch: requests that were asked for together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from equivcheck.checks.events.kind import EventKind, Found, from_steps
from equivcheck.checks.events.seen import AnsweredRequest, Seen
from equivcheck.checks.populations import penalised

LONGER = 64
"""Tokens by which a prompt is long beside a short one."""

Batch = Sequence[AnsweredRequest]


def batches_with(holds: Callable[[Batch], bool]) -> Callable[[Seen], Found]:
    """Batches of two and more rows of which something holds."""
    return lambda seen: sum(len(batch) > 1 and holds(batch) for batch in seen.batches)


def refilled(seen: Seen) -> Found:
    """Requests beyond the rows of the batch, of those put to the engine in one go."""
    return max(0, seen.shuffled - seen.rows)


def long_beside_short(batch: Batch) -> bool:
    """Whether prompts differ by `LONGER` tokens or more."""
    lengths = [len(answer.request.prompt_ids) for answer in batch]
    return max(lengths) - min(lengths) >= LONGER


def equal_lengths(batch: Batch) -> bool:
    """Whether two different prompts have as many tokens."""
    prompts = {answer.request.prompt_ids for answer in batch}
    return len({len(prompt) for prompt in prompts}) < len(prompts)


def shrinks(batch: Batch) -> bool:
    """Whether the rows end one after another."""
    return len({len(answer.generation.steps) for answer in batch}) > len(batch) // 2


KINDS = (
    EventKind("refilled-row", "a row that is filled again: more requests than rows", refilled),
    EventKind(
        "batch-greedy-sampled",
        "greedy and sampled requests in one batch",
        batches_with(lambda batch: len({each.request.sampling.greedy for each in batch}) > 1),
    ),
    EventKind(
        "batch-penalised-plain",
        "requests with penalties and without in one batch",
        batches_with(lambda batch: len({penalised(each.request.sampling) for each in batch}) > 1),
    ),
    EventKind(
        "batch-parameters",
        "three and more different sampling parameters in one batch",
        batches_with(lambda batch: len({str(each.request.sampling) for each in batch}) > 2),
    ),
    EventKind(
        "batch-bans",
        "requests that ban different tokens in one batch",
        batches_with(
            lambda batch: len({each.request.sampling.banned_tokens for each in batch}) > 1
        ),
    ),
    EventKind(
        "batch-long-short",
        f"prompts that differ by {LONGER} tokens or more in one batch",
        batches_with(long_beside_short),
    ),
    EventKind(
        "batch-equal-lengths",
        "different prompts of equal length in one batch",
        batches_with(equal_lengths),
    ),
    EventKind(
        "batch-shrinks",
        "a batch whose rows end one after another",
        from_steps(batches_with(shrinks)),
    ),
)
