"""Events about places in the sequence, and about prompts that share their beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from equivcheck.checks.events.kind import EventKind, Found, from_steps
from equivcheck.checks.events.seen import Seen

PAGE = 16
CHUNK = 64
POSITIONS = (128, 256, 512)


def past(position: int, *, greedy: bool) -> Callable[[Seen], Found]:
    """Outputs with a token behind a position of the sequence, prompt included."""
    return lambda seen: sum(
        answer.request.sampling.greedy is greedy
        and len(answer.request.prompt_ids) + len(answer.generation.token_ids) > position
        for answer in seen.every
    )


def crosses(border: int) -> Callable[[Seen], Found]:
    """Steps of several tokens across a multiple of `border`."""

    def counted(seen: Seen) -> Found:
        # Loads numpy, which is no part of what `checks` costs to import.
        from equivcheck.core.columns import step_counts

        found = 0
        for answer in seen.every:
            emitted = step_counts(answer.generation)[:, 2].astype("int64")
            end = len(answer.request.prompt_ids) + emitted.cumsum()
            apart = (end - emitted) // border != (end - 1) // border
            found += int((apart & (emitted > 1)).sum())
        return found

    return from_steps(counted)


def asked_again(seen: Seen) -> Found:
    """Requests whose prompt another request had before."""
    prompts = Counter(answer.request.prompt_ids for answer in seen.answers)
    return sum(prompts.values()) - len(prompts)


def shared(least: int) -> Callable[[Seen], Found]:
    """Pairs of prompts that share so many leading tokens and differ behind them.

    By where they part: at a multiple of `PAGE` tokens, where a block of a paged cache ends, or
    inside such a block. Neighbours in sorted order share most, and only they are counted.
    """

    def counted(seen: Seen) -> Found:
        found = {f"at a multiple of {PAGE}": 0, "between": 0}
        at_border, between = found
        prompts = sorted({answer.request.prompt_ids for answer in seen.answers})
        for before, after in pairwise(prompts):
            same = next(
                (at for at, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), None
            )
            if same is not None and same >= least:
                found[between if same % PAGE else at_border] += 1
        return found

    return counted


def begins_like_earlier(seen: Seen) -> Found:
    """Requests whose prompt has its first `PAGE` tokens in common with one of an earlier batch."""
    found, known = 0, set[tuple[int, ...]]()
    for batch in seen.batches:
        starts = [answer.request.prompt_ids[:PAGE] for answer in batch]
        found += sum(len(start) == PAGE and start in known for start in starts)
        known.update(starts)
    return found


def fills_context(seen: Seen) -> Found:
    """Requests that end on the last position of the context."""
    return sum(
        len(answer.request.prompt_ids) + len(answer.generation.token_ids) == seen.context
        for answer in seen.every
    )


KINDS = (
    *(
        EventKind(
            f"{kind}-past-{position}",
            f"{kind} text past position {position}",
            past(position, greedy=greedy),
        )
        for kind, greedy in (("greedy", True), ("sampled", False))
        for position in POSITIONS
    ),
    EventKind(
        "step-across-16",
        "a step of several tokens across a multiple of 16 positions",
        crosses(PAGE),
    ),
    EventKind(
        "step-across-64",
        "a step of several tokens across a multiple of 64 positions",
        crosses(CHUNK),
    ),
    EventKind("prompt-again", "a prompt asked twice", asked_again),
    EventKind(
        "shared-16", "prompts that share 16 leading tokens or more and differ behind", shared(PAGE)
    ),
    EventKind(
        "shared-64", "prompts that share 64 leading tokens or more and differ behind", shared(CHUNK)
    ),
    EventKind(
        "prefix-again",
        "a prompt that shares 16 leading tokens or more with one answered before",
        begins_like_earlier,
    ),
    EventKind(
        "later-turn",
        "a turn of a session, behind the engine's own answer",
        lambda seen: seen.later_turns,
    ),
)


def own_kinds(seen: Seen) -> tuple[EventKind, ...]:
    """Events of this run's models: texts past their sliding windows.

    A text past position 512 is past every shorter window, and none passes a window as long as the
    context.
    """
    found = []
    for window in sorted({*seen.windows.values()}):
        if POSITIONS[-1] < window < seen.context:
            whose = " and ".join(role for role, own in seen.windows.items() if own == window)
            found += [
                EventKind(
                    f"{kind}-past-{window}",
                    f"{kind} text past position {window}, the sliding window of the {whose}",
                    past(window, greedy=greedy),
                )
                for kind, greedy in (("greedy", True), ("sampled", False))
            ]
    return tuple(found)


RIG_KINDS = (EventKind("context-filled", "a request that fills the context", fills_context),)
