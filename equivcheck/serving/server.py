"""The server: a service of one decoder, whose steps it orders.

Each `advance` seats who waits, reads a chunk of prompts, and decodes one step of all rows that are
ready. The decoder's step is as it is in `Decoder.run`, and so are a request's bits: alone, among
others, in whichever row, read in one go or beside rows that run, taken over, or preempted and
recomputed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import Happened, ServedEvent, ServingLimits
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.progress import Progress
from equivcheck.serving.prefix_store import PrefixStore
from equivcheck.serving.reading import PromptReader, block_of
from equivcheck.serving.statistics import Statistics
from equivcheck.serving.ticket import Ticket

GRAIN = 16
"""Tokens by which a request's share of `live_tokens` grows."""


class Server:
    """Serves requests in the rows of a decoder."""

    store_kind: type[PrefixStore] = PrefixStore
    reader_kind: type[PromptReader] = PromptReader
    by_clock = False

    def __init__(
        self,
        decoder: Decoder,
        limits: ServingLimits,
        *,
        check: Callable[[Request], None] = lambda request: None,
    ) -> None:
        """Begin, with nothing to do and nothing known of what the decoder did before.

        `check` raises an EngineError for a request that cannot be served as asked.
        """
        self.decoder, self.limits, self.check = decoder, limits, check
        decoder.clear()
        self.seats = decoder.seats
        self.statistics = Statistics()
        self.store = self.store_kind(
            decoder.cache, block=block_of(decoder.prefill), capacity=limits.prefix_tokens
        )
        self.reader = self.reader_kind(decoder, self.store, self.statistics)
        self.waiting: deque[Ticket] = deque()
        self.seated: dict[int, Ticket] = {}
        """By row, in the order of arrival."""
        self.served: dict[int, str] = {}
        """By row, the request that it served last."""
        self.steps = 0
        self.happened: list[ServedEvent] = []

    @property
    def idle(self) -> bool:
        """Whether no request is left."""
        return not self.waiting and not self.seated

    def submit(self, request: Request) -> None:
        """Have a request wait for a row.

        Raises:
            EngineError: it cannot be served as asked, or one of its key is being served.
        """
        self.check(request)
        if self.find(request.key) is not None:
            raise EngineError(f"native: {request.key} is being served already")
        self.waiting.append(Ticket(request))

    def find(self, key: str) -> Ticket | None:
        """The request of a key that waits or has a row."""
        everyone = (*self.waiting, *self.seated.values())
        return next((ticket for ticket in everyone if ticket.request.key == key), None)

    @torch.inference_mode()
    def cancel(self, key: str) -> bool:
        """Give a request up.

        What a step in flight still says of its row is dropped, since whoever has the row then was
        not there when the step started.
        """
        ticket = self.find(key)
        if ticket is None:
            return False
        self.refuse_unless_own()
        self.tell("given up", ticket)
        if ticket.row is None:
            self.waiting.remove(ticket)
        else:
            self.vacate(ticket.row)
        self.reader.part_with(ticket)
        self.statistics.given_up += 1
        return True

    @torch.inference_mode()
    def advance(self) -> list[ServedEvent]:
        """Seat, read, decode one step."""
        self.refuse_unless_own()
        self.steps += 1
        self.make_room()
        self.seat_waiting()
        self.reader.read_on([*self.seated.values()])
        self.reader.replay_on([*self.seated.values()])
        self.begin()
        if any(self.seats):
            self.step()
        happened, self.happened = self.happened, []
        return happened

    def step(self) -> None:
        """Decode one step, and hand on what came of the last that has landed."""
        decoder = self.decoder
        gamma = decoder.next_gamma()
        outcomes = decoder.step(gamma)
        landed = time.perf_counter()
        decoder.gamma.observe(gamma, decoder.live(outcomes))
        before = {row: len(ticket.output) for row, ticket in self.seated.items()}
        finished = {each.key: each for each in decoder.collect(outcomes, landed)}
        for row, ticket in list(self.seated.items()):
            if came := tuple(ticket.output[before[row] :]):
                self.tell("tokens", ticket, tokens=came)
            if ticket.request.key in finished:
                self.finish(ticket, finished[ticket.request.key])

    def finish(self, ticket: Ticket, generation: Generation) -> None:
        """A request has its answer."""
        assert ticket.row is not None
        self.tell("finished", ticket, generation=generation)
        self.vacate(ticket.row)
        self.reader.part_with(ticket)

    def seat_waiting(self) -> None:
        """Give idle rows to who waits, first come first served, as far as there is room."""
        idle = [row for row in range(len(self.seats)) if row not in self.seated]
        while idle and self.waiting:
            if self.seated and not self.fits(extra=self.waiting[0]):
                return
            self.seat(self.waiting.popleft(), idle.pop(0))

    def seat(self, ticket: Ticket, row: int) -> None:
        """Give a row to a request: it stands at its end, and emits nothing until it has begun.

        What steps write for it meanwhile lies behind all that is read.
        """
        rows = self.decoder.rows
        self.decoder.admit(row, ticket.request)
        self.restore(ticket, row)
        rows.remaining[row] = 0
        ticket.row = row
        self.seated[row] = ticket
        self.tell("seated", ticket, after=self.served.get(row))
        self.served[row] = ticket.request.key
        self.reader.seat(ticket)

    def restore(self, ticket: Ticket, row: int) -> None:
        """Put back what a request was answered before it lost its row, and the counts of it."""
        if not ticket.output:
            return
        rows, prompt = self.decoder.rows, len(ticket.prompt)
        output = torch.tensor(ticket.output, device=rows.tokens.device)
        rows.tokens[row, prompt : ticket.known] = output
        rows.length[row] = ticket.known
        rows.generated[row] = len(output)
        rows.counts[row] = torch.bincount(output, minlength=rows.counts.shape[1])

    def begin(self) -> None:
        """Have rows decode whose requests are ready."""
        ready = {
            row: ticket
            for row, ticket in self.seated.items()
            if not (ticket.running or ticket.behind)
        }
        self.reader.introduce({row: ticket.known for row, ticket in ready.items()})
        for row, ticket in ready.items():
            recomputed = len(ticket.output)
            ticket.running = True
            self.seats[row] = self.resume(ticket)
            self.decoder.rows.remaining[row] = ticket.request.max_new_tokens - recomputed
            self.statistics.prompt += len(ticket.prompt)
            self.statistics.cached += ticket.taken
            self.tell(
                "begun",
                ticket,
                cached=ticket.taken,
                source=self.reader.source(ticket),
                recomputed=recomputed,
            )
        controls = self.decoder.rows.controls
        controls.set_features([seat.request for seat in self.seats if seat])
        self.decoder.gamma.truncating = controls.features.truncated

    def resume(self, ticket: Ticket) -> Progress:
        """What gathers a request's answer: new, or what it had when it lost its row."""
        if ticket.progress is None:
            stops = self.decoder.stops(ticket.request)
            ticket.progress = Progress(ticket.request, stops, started=ticket.submitted)
        ticket.progress.steps_started = 0
        return ticket.progress

    def make_room(self) -> None:
        """Preempt who came last, until the others can take a step within the limits."""
        while len(self.seated) > 1 and not self.fits():
            self.preempt(next(reversed(self.seated.values())))

    def preempt(self, ticket: Ticket) -> None:
        """Take a request's row away; it waits, before all who came later, and keeps its blocks."""
        assert ticket.row is not None
        self.tell("preempted", ticket)
        self.vacate(ticket.row)
        ticket.row, ticket.running = None, False
        self.waiting.appendleft(ticket)
        self.statistics.preempted += 1

    def fits(self, *, extra: Ticket | None = None) -> bool:
        """Whether all who have a row, and perhaps one more, can take a step within the limits."""
        if self.limits.live_tokens is None:
            return True
        everyone = [*self.seated.values(), *([extra] if extra else [])]
        shares = (-(-(ticket.known + self.decoder.width) // GRAIN) for ticket in everyone)
        return sum(shares) * GRAIN <= self.limits.live_tokens

    def vacate(self, row: int) -> None:
        """Make a row idle."""
        del self.seated[row]
        self.seats[row] = None
        self.decoder.rows.release(row)

    def tell(self, happened: Happened, ticket: Ticket, **details: Any) -> None:
        """Note an event."""
        self.happened.append(
            ServedEvent(
                step=self.steps,
                key=ticket.request.key,
                happened=happened,
                row=ticket.row,
                **details,
            )
        )

    def refuse_unless_own(self) -> None:
        """End a service whose rows are no longer its own.

        Raises:
            EngineError: the decoder was put to other work.
        """
        if self.decoder.seats is not self.seats:
            raise EngineError("native: the decoder was put to other work; begin another service")
