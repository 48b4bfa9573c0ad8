"""Rules about where an answer ends, tried in every slot that a verify step can have."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.core.cases import Sampling
from equivcheck.core.detokenise import stop_completed_at
from equivcheck.core.generation import FinishReason, Generation
from equivcheck.testing.trial import Trial, Untried, shown

CERTAIN = 1e4
"""A bias that decides: added to a logit, nothing else has a chance."""
DECISIVE = 50.0
"""Nats that logits hardly make up for, where an engine takes no bias of `CERTAIN`."""


def limits(trial: Trial) -> Iterator[str]:
    """Every limit from 1 up: exactly the first tokens of the free output."""
    trial.needs_ids()
    free = trial.free()
    for limit in range(1, min(trial.slots, len(free)) + 1):
        answer = trial.ask(trial.request(tokens=limit))
        yield from _expect(answer, free[:limit], "length", f"with max_new_tokens={limit}")


def stop_ids(trial: Trial) -> Iterator[str]:
    """Each token of the free output as the stop id; the last of them at the token limit, too."""
    trial.needs_ids()
    free = trial.free()
    tokens = list(dict.fromkeys(free[: trial.slots]))
    for token, limit in [*((token, len(free)) for token in tokens), (tokens[-1], None)]:
        place = free.index(token)
        answer = trial.ask(trial.request(tokens=limit or place + 1, stop_token_ids=(token,)))
        at_limit = "" if limit else " and the last that is allowed"
        what = f"with stop id {token}, which is output token {place}{at_limit},"
        yield from _expect(answer, free[: place + 1], "stop", what)


def eos(trial: Trial) -> Iterator[str]:
    """The end of text made certain, and held back for 0, 1, 2, ... tokens; then ignored."""
    if trial.eos is None:
        return
    certain = trial.within("logit_bias", CERTAIN, enough=DECISIVE)
    for least in range(trial.slots + 1):
        sampling = Sampling(logit_bias={trial.eos: certain}, min_new_tokens=least)
        answer = trial.ask(trial.request(sampling=sampling, tokens=least + 4, ignore_eos=False))
        found = answer.token_ids
        if found[-1:] != (trial.eos,) or len(found) != least + 1:
            yield (
                f"with end of text certain and min_new_tokens={least} it gave {shown(found)}, not "
                f"{least} tokens and then {trial.eos}"
            )
        elif answer.finish_reason != "eos":
            yield f"ended by end of text, it says {answer.finish_reason!r}"
    if not trial.serves("ignore_eos"):
        raise Untried("to ignore the end of text is what the engine says it refuses")
    sampling = Sampling(logit_bias={trial.eos: certain})
    answer = trial.ask(trial.request(sampling=sampling, tokens=4))
    yield from _expect(answer, (trial.eos,) * 4, "length", "with end of text ignored")


def stop_strings(trial: Trial) -> Iterator[str]:
    """Pieces of the free output's text as the stop string, also over token borders."""
    trial.needs_ids()
    free = trial.free()
    for end in range(1, min(len(free), trial.slots + 1) + 1):
        for start in {end - 1, max(0, end - 2)}:
            stop = trial.detokenise(free[start:end])
            place = stop_completed_at(trial.detokenise, free, (stop,)) if stop else None
            # Half a character, or a piece that its neighbours change, cannot be looked for.
            if place is None or "\ufffd" in stop:
                continue
            answer = trial.ask(trial.request(tokens=len(free), stop=(stop,)))
            what = f"with stop string {stop!a}, complete at output token {place}"
            yield from _expect(answer, free[: place + 1], "stop", what)


def _expect(
    answer: Generation, tokens: tuple[int, ...], reason: FinishReason, what: str
) -> Iterator[str]:
    found = answer.token_ids
    if found != tokens:
        difference = len(found) - len(tokens)
        if found[: len(tokens)] == tokens:
            yield f"{what} it gave {difference} tokens too many"
        elif tokens[: len(found)] == found:
            yield f"{what} it gave {-difference} tokens too few"
        else:
            yield f"{what} it gave {shown(found)}, not {shown(tokens)}"
    elif answer.finish_reason != reason:
        yield f"{what} it says {answer.finish_reason!r}, not {reason!r}"
