"""F25: what a turn or a sample shares with another request is not what that request had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from equivcheck.core.generation import Generation, Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.streams import stream_key
from equivcheck.faults.fault import fault
from equivcheck.faults.life_cycle import common
from equivcheck.faults.rollback import PAGE


class Past(NamedTuple):
    """A request that was answered."""

    prompt: int
    """Tokens of its prompt."""
    tokens: tuple[int, ...]
    """Prompt and answer."""
    rejected: dict[int, int]
    """Position to the last draft that was rejected there."""


class KnowsTurns(Decoder):
    """Base: finds the answered request, if there is one, whose answer a prompt goes on from."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.past: list[Past] = []

    def collect(self, outcomes: list[RowOutcome], landed: float) -> Iterator[Generation]:
        seated = {seat.request.key: seat.request for seat in self.seats if seat is not None}
        for generation in super().collect(outcomes, landed):
            prompt = seated[generation.key].prompt_ids
            self.past.append(
                Past(len(prompt), (*prompt, *generation.token_ids), rejected(generation))
            )
            yield generation

    def behind(self, request: Request) -> tuple[Past, int] | None:
        """The answered request of whose answer a prompt holds most, and the tokens they share.

        None where it holds no token of any answer.
        """
        found = [(past, common(request.prompt_ids, past.tokens)) for past in self.past]
        behind = [(past, shared) for past, shared in found if shared > past.prompt]
        return max(behind, key=lambda pair: pair[1], default=None)


def rejected(generation: Generation) -> dict[int, int]:
    """Position in the sequence to the draft that was rejected there."""
    at, found = generation.prompt_tokens, {}
    for step in generation.steps:
        if step.first_rejected is not None:
            found[at + step.accepted] = step.first_rejected
        at += step.emitted
    return found


@fault(
    "turn-on-rejected-drafts",
    family="F25",
    recreates="vLLM #43559",
    caught_by="greedy",
    schedules=("turns",),
)
class CachesUnverified(KnowsTurns):
    """What is kept of an answer for the next turn was computed before its drafts were verified."""

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read a known answer with its rejected drafts in it."""
        for row, request in arrived.items():
            if known := self.behind(request):
                past, shared = known
                for position, draft in past.rejected.items():
                    if position < shared:
                        self.rows.tokens[row, position] = draft
        super().read_prompts(arrived)
        for row, request in arrived.items():
            for position, token in enumerate(request.prompt_ids):
                self.rows.tokens[row, position] = token


@fault(
    "turn-without-last-token",
    family="F25",
    recreates="ik_llama.cpp #1661",
    caught_by="greedy",
    schedules=("turns",),
)
class CountsLastToken(KnowsTurns):
    """An answer's last token counts as cached in the next turn, but was never computed."""

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read, then leave out the last token that the turn shares with the answer."""
        super().read_prompts(arrived)
        for row, request in arrived.items():
            if known := self.behind(request):
                for buffer in (*self.cache.keys, *self.cache.values):
                    buffer[row, known[1] - 1] = 0.0


@fault(
    "turn-drops-history",
    family="F25",
    recreates="omlx #2443",
    caught_by="greedy",
    schedules=("turns",),
)
class DropsHistory(KnowsTurns):
    """What a turn has in cache from the turn before is missing from the target's context."""

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read, then blank the pages that are shared with the turn before."""
        super().read_prompts(arrived)
        for row, request in arrived.items():
            if known := self.behind(request):
                for buffer in (*self.cache.keys, *self.cache.values):
                    buffer[row, : known[1] // PAGE * PAGE] = 0.0


@fault(
    "prefix-registered-early",
    family="F25",
    recreates="vLLM #37152",
    caught_by="greedy",
    schedules=("shared",),
)
class RegistersEarly(Decoder):
    """Of requests that arrive together and share pages, only the first has them computed."""

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read, then blank the pages that a row shares with one before it."""
        super().read_prompts(arrived)
        earlier: list[Request] = []
        for row, request in arrived.items():
            shared = max((common(request.prompt_ids, one.prompt_ids) for one in earlier), default=0)
            end = min(shared, len(request.prompt_ids) - 1) // PAGE * PAGE
            for buffer in (*self.cache.keys, *self.cache.values):
                buffer[row, :end] = 0.0
            earlier.append(request)


@fault(
    "samples-share-seed",
    family="F25",
    recreates="vLLM #11898",
    caught_by="coupled",
    schedules=("samples",),
)
class SharesSeed(Decoder):
    """All samples of one prompt draw from the first one's stream."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """No prompt has a stream yet."""
        super().__init__(*args, **options)
        self.firsts: dict[tuple[int, ...], Request] = {}

    def admit(self, row: int, request: Request) -> None:
        """Admit under the stream of the prompt's first request."""
        super().admit(row, request)
        first = self.firsts.setdefault(request.prompt_ids, request)
        self.rows.streams.keys[row] = self.rows.streams.keys.new_tensor(stream_key(first))


@fault(
    "samples-share-tail",
    family="F25",
    recreates="atlas #1193",
    caught_by="coupled",
    schedules=("samples",),
)
class SharesTail(Decoder):
    """Samples of one prompt write their first tokens into one page, which nobody copies."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Before each step, give the rows of a prompt the last one's page behind it."""
        last: dict[tuple[int, ...], int] = {}
        for row, seat in enumerate(self.seats):
            if seat is not None:
                last[seat.request.prompt_ids] = row
        for row, seat in enumerate(self.seats):
            if seat is not None and (writer := last[seat.request.prompt_ids]) != row:
                end = len(seat.request.prompt_ids)
                page = slice(end, -(-end // PAGE) * PAGE)
                for buffer in (*self.cache.keys, *self.cache.values):
                    buffer[row, page] = buffer[writer, page]
        return super().step(gamma)
