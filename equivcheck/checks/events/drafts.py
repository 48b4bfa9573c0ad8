"""Events about what became of drafts: all accepted, or one rejected in each slot, by population."""

from __future__ import annotations

from collections.abc import Callable

from equivcheck.checks.events.accepted import (
    Bounds,
    full_steps,
    partly_accepting,
    rejections,
    total,
)
from equivcheck.checks.events.kind import ONLY_COUNTS, EventKind, Found, from_drafts, from_steps
from equivcheck.checks.events.seen import Seen
from equivcheck.checks.populations import penalised
from equivcheck.core.generation import Request

LONG_BLOCK = 6
POPULATIONS: dict[str, tuple[str, Callable[[Request], bool]]] = {
    "greedy": ("greedy requests", lambda request: request.sampling.greedy),
    "sampled": ("sampled requests", lambda request: not request.sampling.greedy),
    "penalised": ("requests with penalties", lambda request: penalised(request.sampling)),
    "biased": ("requests with logit biases", lambda request: bool(request.sampling.logit_bias)),
    "stop": ("requests with stop strings", lambda request: bool(request.stop)),
}
"""Short name to words, and whether a request belongs; a request may belong to several."""


def known(bounds: Bounds) -> Found:
    """How often at least; a word where it may have been never."""
    return ONLY_COUNTS if bounds.least == 0 < bounds.most else bounds.least


def all_accepted(belongs: Callable[[Request], bool]) -> Callable[[Seen], Found]:
    """Steps that accepted as many drafts as a step may have."""
    return from_drafts(
        lambda seen: known(
            total(
                full_steps(answer.generation, gamma=seen.gamma)
                for answer in seen.every
                if belongs(answer.request)
            )
        )
    )


def rejected_slots(belongs: Callable[[Request], bool]) -> Callable[[Seen], Found]:
    """Rejected drafts by slot."""

    def counted(seen: Seen) -> Found:
        answers = [
            rejections(answer.generation, gamma=seen.gamma)
            for answer in seen.every
            if belongs(answer.request)
        ]
        slots = [total(answer[slot] for answer in answers) for slot in range(seen.gamma)]
        if any(isinstance(known(each), str) for each in slots):
            return ONLY_COUNTS
        return {f"slot {slot}": each.least for slot, each in enumerate(slots)}

    return from_drafts(counted)


def partly_accepted(seen: Seen) -> Found:
    """Steps that accepted some drafts and rejected one; with one draft a step there are none."""
    return known(
        total(partly_accepting(answer.generation, gamma=seen.gamma) for answer in seen.every)
    )


def long_blocks(seen: Seen) -> Found:
    """Steps that accepted six drafts, or all that a step has."""
    least = min(LONG_BLOCK, seen.gamma)
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.core.columns import steps_of

    return int((steps_of(answer.generation for answer in seen.every)[:, 1] >= least).sum())


def none_after_accepted(seen: Seen) -> Found:
    """Steps without drafts that follow one that accepted some."""
    from equivcheck.core.columns import step_counts

    counts = [step_counts(answer.generation) for answer in seen.every]
    return sum(int(((each[:-1, 1] != 0) & (each[1:, 0] == 0)).sum()) for each in counts)


KINDS = (
    EventKind(
        "partly-accepted",
        "a step that accepts some drafts and rejects one",
        from_drafts(partly_accepted),
    ),
    *(
        EventKind(
            f"all-accepted-{name}",
            f"all drafts of a full step accepted, {words}",
            all_accepted(belongs),
        )
        for name, (words, belongs) in POPULATIONS.items()
    ),
    *(
        EventKind(
            f"rejected-each-slot-{name}",
            f"a draft rejected in each slot, {words}",
            rejected_slots(belongs),
        )
        for name, (words, belongs) in POPULATIONS.items()
    ),
)
RIG_KINDS = (
    EventKind("six-accepted", "six drafts accepted at once", from_steps(long_blocks)),
    EventKind(
        "no-drafts-after-accepted",
        "a step without drafts after accepted ones",
        from_steps(none_after_accepted),
    ),
)
