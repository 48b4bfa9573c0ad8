"""Events about where an output ends: end of text, stops, and limits on its length."""

from __future__ import annotations

from collections.abc import Callable

from equivcheck.checks.events.kind import EventKind, Found, by_part, from_steps
from equivcheck.checks.events.seen import AnsweredRequest, Seen, StopPlace

NOT_TOLD = "the records do not say where stop strings begin"


def by_eos(answer: AnsweredRequest) -> bool:
    """Whether the end of text ended it."""
    return answer.generation.finish_reason == "eos"


def by_stop_id(answer: AnsweredRequest) -> bool:
    """Whether a stop id ended it."""
    tokens = answer.generation.token_ids
    return (
        answer.generation.finish_reason == "stop"
        and bool(tokens)
        and tokens[-1] in answer.request.stop_token_ids
    )


def by_stop_string(answer: AnsweredRequest) -> bool:
    """Whether a stop string ended it."""
    return answer.generation.finish_reason == "stop" and not by_stop_id(answer)


def in_slots(ended: Callable[[AnsweredRequest], bool]) -> Callable[[Seen], Found]:
    """Endings by the slot of their step, the slot behind the last draft included."""

    def counted(seen: Seen) -> Found:
        hidden = 0 if seen.ends_with_eos or ended is not by_eos else 1
        slots = (
            answer.generation.steps[-1].emitted - 1 + hidden
            for answer in seen.every
            if answer.generation.steps and ended(answer)
        )
        return by_part(slots, range(seen.gamma + 1), name="slot")

    return from_steps(counted)


def inside_block(ended: Callable[[AnsweredRequest], bool]) -> Callable[[Seen], Found]:
    """Endings on an accepted draft."""
    return from_steps(
        lambda seen: sum(
            ended(answer)
            and bool(steps := answer.generation.steps)
            and steps[-1].emitted <= steps[-1].accepted
            for answer in seen.every
        )
    )


def stop_strings(seen: Seen) -> list[StopPlace]:
    """Where the stop strings lie that ended an answer."""
    return [answer.stop for answer in seen.answers if answer.stop and by_stop_string(answer)]


def across_tokens(seen: Seen) -> Found:
    """Stop strings that began in an earlier token."""
    places = stop_strings(seen)
    if places and all(place.across is None for place in places):
        return NOT_TOLD
    return sum(bool(place.across) for place in places)


def at_limits(seen: Seen) -> Found:
    """Outputs that ended at their limit, for each limit up to a whole step."""
    lengths = (
        answer.request.max_new_tokens
        for answer in seen.every
        if answer.generation.finish_reason == "length"
        and len(answer.generation.token_ids) == answer.request.max_new_tokens
    )
    return by_part(lengths, range(1, seen.gamma + 2), name="limit")


def at_minima(seen: Seen) -> Found:
    """Outputs that a stop id ended as soon as their minimum length allowed it."""
    lengths = (
        answer.request.sampling.min_new_tokens
        for answer in seen.every
        if (by_eos(answer) or by_stop_id(answer))
        and len(answer.generation.token_ids) + (by_eos(answer) and not seen.ends_with_eos)
        == answer.request.sampling.min_new_tokens + 1
    )
    return by_part(lengths, range(1, seen.gamma + 2), name="minimum")


def at_limit(seen: Seen) -> Found:
    """Outputs that a stop ended on the last token that their limit allows."""
    return sum(
        answer.generation.finish_reason == "stop"
        and len(answer.generation.token_ids) == answer.request.max_new_tokens
        for answer in seen.every
    )


KINDS = (
    EventKind("eos-each-slot", "end of text (EOS) in each slot of a step", in_slots(by_eos)),
    EventKind("eos-in-block", "end of text on an accepted draft", inside_block(by_eos)),
    EventKind("stop-id-each-slot", "a stop id in each slot of a step", in_slots(by_stop_id)),
    EventKind("stop-id-in-block", "a stop id on an accepted draft", inside_block(by_stop_id)),
    EventKind(
        "stop-string-in-block",
        "a stop string complete on an accepted draft",
        inside_block(by_stop_string),
    ),
    EventKind(
        "stop-string-inside-token",
        "a stop string that ends inside a token",
        lambda seen: sum(place.inside for place in stop_strings(seen)),
    ),
    EventKind(
        "stop-string-at-token-end",
        "a stop string that ends where a token ends",
        lambda seen: sum(not place.inside for place in stop_strings(seen)),
    ),
    EventKind("stop-string-across-tokens", "a stop string across tokens", across_tokens),
    EventKind("stop-at-limit", "a stop on the last token that the limit allows", at_limit),
    EventKind("limit-each-length", "limits at 1 to a whole step of new tokens", at_limits),
    EventKind(
        "minimum-each-length",
        "a stop id right behind a min_new_tokens of 1 to a whole step",
        at_minima,
    ),
)
