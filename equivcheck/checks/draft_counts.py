"""What totals of drafts cannot be, whatever the engine, whatever it counts as a step.

A verify step emits what it accepted and one token more, unless a stop or a limit cut it; that
happens to the last step only, and costs it fewer tokens than it may draft. Engines differ in
whether steps without drafts count, and in whether a first token takes a step at all: both make the
number of steps smaller than that of the steps there were, so that it bounds from one side only.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from equivcheck.checks.subjects import plural
from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import DraftCounts


def impossible_counts(
    counts: DraftCounts, capabilities: Capabilities, *, tokens: int
) -> Iterator[str]:
    """Every bound that the totals of an output of so many tokens break."""
    most = capabilities.num_speculative_tokens
    drafted, accepted, steps = counts.drafted, counts.accepted, counts.steps
    if accepted > drafted:
        yield f"accepted {accepted} of {drafted} drafted"
    if drafted and not most:
        yield f"drafted {drafted}, none announced"
        return
    emitted = accepted + (steps if steps is not None else min(1, drafted))
    if emitted > tokens + most:
        told = "drafts accepted" if steps is None else f"drafts accepted in {plural(steps, 'step')}"
        yield (
            f"{accepted} {told} give {emitted} tokens at least, "
            f"{most} of them cut at most; the output has {tokens}"
        )
    if steps is not None and drafted > most * steps:
        yield f"drafted {drafted} in {plural(steps, 'step')} of {most} drafts at most"
    yield from _by_slot(counts, most=most)


def _by_slot(counts: DraftCounts, *, most: int) -> Iterator[str]:
    slots = counts.accepted_by_slot
    if not slots:
        return
    if sum(slots) != counts.accepted:
        yield f"accepted {counts.accepted}, by slot {sum(slots)}"
    if any(later > earlier for earlier, later in pairwise(slots)):
        yield f"a later slot accepted more than an earlier one: {', '.join(map(str, slots))}"
    if any(slots[most:]):
        yield f"slot {len(slots) - 1} accepted drafts, at most {most} a step announced"
    if counts.steps is not None and slots[0] > counts.steps:
        yield f"slot 0 accepted {slots[0]} drafts in {plural(counts.steps, 'step')}"
