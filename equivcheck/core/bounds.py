"""What an answer can say of itself: outside of these bounds no decoder can mean it.

Capture makes a failed answer of one that lies outside, and readers refuse its line, so that
whatever is computed later takes time in proportion to the file. What lies inside may still be
wrong: a bonus token counted as a draft, a limit overrun by a block. That is for checks to find.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from equivcheck.core.generation import DraftCounts, Generation, Step, TokenScore

MOST_DRAFTED = 1024
"""Drafts in one step; the widest trees in use have a few hundred."""
MOST_OVERRUN = MOST_DRAFTED
"""Tokens beyond the limit: a decoder that forgets it forgets it for one block."""
LONGEST_RUN_ID = 255
"""Characters: a run is named by its folder, and no file system takes a longer name."""
TOKEN_IDS = (-(2**31), 2**31 - 1)
FINGERPRINTS = (-(2**63), 2**64 - 1)


class RequestLimits(NamedTuple):
    """What is known of the request that an answer is held to; None: not known here."""

    tokens: int | None = None
    """Asked for."""
    prompt: int | None = None
    """Length of the prompt."""


def out_of_bounds(answer: Generation, limits: RequestLimits) -> str | None:
    """The first field that lies outside, its value and the bound; None: there is none.

    Takes its time from the bounds, not from the answer: lengths are looked at first. Fields have
    the types of `Generation` but for their lengths, which may be those of anything.
    """
    return too_long(answer, limits) or next(_outside(answer, limits), None)


def unbounded_drafts(announced: int) -> str | None:
    """Why an engine cannot announce so many drafts a step; None: it can."""
    return next(_beyond("num_speculative_tokens", announced, 0, MOST_DRAFTED), None)


def too_long(answer: Generation, limits: RequestLimits) -> str | None:
    """Which part of an answer has more entries than its request can lead to; None: none has.

    Looks at no entry, and leaves alone what has no length.
    """
    if limits.tokens is None:
        return None
    most = limits.tokens + MOST_OVERRUN
    for name in ("token_ids", "steps", "scores", "logit_digests"):
        entries = getattr(answer, name)
        if isinstance(entries, Sequence) and len(entries) > most:
            return (
                f"{name} has {len(entries)} entries, more than the {limits.tokens} tokens asked "
                f"for and one block of {MOST_OVERRUN}"
            )
    return None


def totals_outside(answer: Generation, limits: RequestLimits) -> Iterator[str]:
    """What is wrong with what an answer says as a whole, its entries left alone."""
    yield from _beyond("prompt_tokens", answer.prompt_tokens, 0, TOKEN_IDS[1])
    if limits.prompt is not None and answer.prompt_tokens != limits.prompt:
        yield f"prompt_tokens is {answer.prompt_tokens}, but the prompt has {limits.prompt}"
    yield from _no_time("prefill_seconds", answer.prefill_seconds)
    yield from _no_time("total_seconds", answer.total_seconds)
    if answer.counts is not None:
        yield from _counts(answer.counts, limits)


def _outside(answer: Generation, limits: RequestLimits) -> Iterator[str]:
    yield from totals_outside(answer, limits)
    yield from _ids("token_ids", answer.token_ids, *TOKEN_IDS)
    yield from _ids("logit_digests", answer.logit_digests or (), *FINGERPRINTS)
    for at, step in enumerate(answer.steps):
        if type(step) is not Step:  # A tuple is written in the same way.
            yield f"steps[{at}] is of type {type(step).__name__}, not Step"
        yield from _step(step, at)
    for at, score in enumerate(answer.scores or ()):
        if type(score) is not TokenScore:
            yield f"scores[{at}] is of type {type(score).__name__}, not TokenScore"
        if not (math.isfinite(score.logprob) and math.isfinite(score.rival_logprob)):
            yield f"scores[{at}] is {score.logprob}, {score.rival_logprob}: not finite"
        yield from _beyond(f"scores[{at}].rival", score.rival, *TOKEN_IDS)


def _step(step: Step, at: int) -> Iterator[str]:
    where = f"steps[{at}]"
    yield from _beyond(f"{where}.drafted", step.drafted, 0, MOST_DRAFTED)
    # A sentinel of -1, or a bonus token that counts as accepted: wrong counters, but meant ones.
    yield from _beyond(f"{where}.accepted", step.accepted, -1, step.drafted + 1)
    yield from _beyond(f"{where}.emitted", step.emitted, 0, step.drafted + 1)
    yield from _no_time(f"{where}.seconds", step.seconds)
    if step.rejected is not None:
        yield from _beyond(f"{where}.rejected", step.rejected, *TOKEN_IDS)
    if step.drafts is not None:
        if len(step.drafts) > MOST_DRAFTED:
            yield f"{where}.drafts has {len(step.drafts)} ids, more than {MOST_DRAFTED}"
        else:
            yield from _ids(f"{where}.drafts", step.drafts, *TOKEN_IDS)
    told = step.draft_logprobs or ()
    if len(told) > MOST_DRAFTED:
        yield f"{where}.draft_logprobs has {len(told)} entries, more than {MOST_DRAFTED}"
    elif not all(map(math.isfinite, told)):
        yield f"{where}.draft_logprobs is not finite"
    if step.residual_log_weight is not None and not math.isfinite(step.residual_log_weight):
        yield f"{where}.residual_log_weight is not finite"


def _counts(counts: DraftCounts, limits: RequestLimits) -> Iterator[str]:
    most = TOKEN_IDS[1] if limits.tokens is None else MOST_DRAFTED * (limits.tokens + MOST_OVERRUN)
    yield from _beyond("counts.drafted", counts.drafted, 0, most)
    yield from _beyond("counts.accepted", counts.accepted, 0, counts.drafted)
    yield from _beyond("counts.steps", counts.steps or 0, 0, most)
    slots = counts.accepted_by_slot
    if len(slots) > MOST_DRAFTED:
        yield f"counts.accepted_by_slot has {len(slots)} entries, more than {MOST_DRAFTED}"
    else:
        yield from _ids("counts.accepted_by_slot", slots, 0, counts.accepted)


def _beyond(name: str, value: int, least: int, most: int) -> Iterator[str]:
    if not least <= value <= most:
        yield f"{name} is {shown(value)}, outside {least} to {most}"


def _ids(name: str, values: Sequence[int], least: int, most: int) -> Iterator[str]:
    if values and not (least <= min(values) and max(values) <= most):
        at = next(at for at, value in enumerate(values) if not least <= value <= most)
        yield f"{name}[{at}] is {shown(values[at])}, outside {least} to {most}"


def _no_time(name: str, seconds: float | None) -> Iterator[str]:
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        yield f"{name} is {seconds}, not a finite number of seconds from 0 on"


def shown(value: int) -> str:
    """A number in few characters. Python refuses to write one of some thousand digits."""
    return str(value) if abs(value) < 10**20 else f"a number of {value.bit_length()} bits"
