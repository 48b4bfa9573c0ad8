"""Answers of an engine that leaves out the id which ended the text, as everybody else gives them.

The one place where that id is added: `load_engine` puts this before every engine that says so
(`Capabilities.ends_with_eos`). Answers are otherwise left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import EquivcheckError, SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.generation import Generation, Request, Step
from equivcheck.core.settings import EngineSetup

Entries = TypeVar("Entries", bound=tuple[object, ...])


def with_ends(engine: Engine, setup: EngineSetup) -> Engine:
    """The engine, or where it leaves out what ends a text, one that adds it.

    Raises:
        SettingsError: the pair has several ids that end a text, so that nobody can say which it
            was: the adapter has to.
        PairError: the pair's files cannot be found or read.
    """
    told = engine.capabilities
    if told.ends_with_eos:
        return engine
    from equivcheck.pairs.files import locate_pair

    try:
        ends = locate_pair(setup.pair).eos_token_ids
    except EquivcheckError:
        engine.close()
        raise
    if len(ends) != 1:
        engine.close()
        raise SettingsError(
            f"{visible(told.engine)} leaves out the id that ends a text, and pair "
            f"{visible(setup.pair)} has {len(ends)} of them ({', '.join(map(str, ends))}): which "
            f"one it was only the adapter can say, by adding it to token_ids"
        )
    return EndingEngine(engine, eos_token_id=ends[0])


class EndingEngine:
    """An engine whose texts end with the id that ended them."""

    def __init__(self, engine: Engine, *, eos_token_id: int) -> None:
        """Stand before `engine`, which the pair's only end of text ends."""
        self.engine, self.eos_token_id = engine, eos_token_id

    @property
    def capabilities(self) -> Capabilities:
        """As the engine says them; ends are added to what it generates, and not while it serves."""
        return replace(self.engine.capabilities, serves=False)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Its answers, each with its end."""
        for answer in self.engine.generate(requests):
            # What is no answer at all is for whoever asked to refuse.
            yield ended(answer, self.eos_token_id) if isinstance(answer, Generation) else answer

    def close(self) -> None:
        """Free what the engine holds."""
        self.engine.close()


def ended(answer: Generation, eos_token_id: int) -> Generation:
    """The answer with the id that ended it, where a text has ended and the id is not there.

    The step that drew the id counts it then. Scores and fingerprints, one a token, are left out:
    those of the id are not known.
    """
    tokens = answer.token_ids
    if answer.finish_reason != "eos" or not isinstance(tokens, tuple):
        return answer
    if tokens and tokens[-1] == eos_token_id:
        return answer
    length = len(tokens) + 1
    return replace(
        answer,
        token_ids=(*tokens, eos_token_id),
        steps=_steps(answer.steps, length=length),
        scores=_whole(answer.scores, length),
        logit_digests=_whole(answer.logit_digests, length),
    )


def _steps(steps: tuple[Step, ...], *, length: int) -> tuple[Step, ...]:
    """Steps that emit one token more, where those told stop short of the end by that one."""
    if not steps or sum(step.emitted for step in steps) != length - 1:
        return steps
    *before, last = steps
    if last.emitted <= last.accepted:
        return (*before, replace(last, emitted=last.emitted + 1))
    return (*steps, Step(drafted=0, accepted=0, emitted=1))


def _whole(entries: Entries | None, length: int) -> Entries | None:
    return entries if entries is not None and len(entries) == length else None
