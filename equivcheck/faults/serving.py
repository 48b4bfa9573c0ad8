"""F26: serving. Requests that are given up, preempted, read beside others, or sampled twice."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch

from equivcheck.core.generation import Generation, Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.progress import Progress
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.fault import serving_fault
from equivcheck.serving.reading import PromptReader
from equivcheck.serving.server import Server
from equivcheck.serving.ticket import Ticket

DRAFT_POSITIONS = 100
"""Positions of a draft model that has fewer than its target."""


class TakesAnyOutcome(Decoder):
    """Base of the next: hands a step in flight to whoever has the row when it lands."""

    def answering(self, row: int) -> Progress | None:
        return self.seats[row]


@serving_fault(
    "row-reused-in-flight",
    recreates="sglang #23392",
    schedules=("given-up", "waves"),
    decoder=TakesAnyOutcome,
)
class ReusesInFlight(Server):
    """A row is given away with a step in flight, whose tokens its next request gets."""


@serving_fault("kept-back-tokens-follow", recreates="sglang #24580", schedules=("given-up",))
class KeepsTokensBack(Server):
    """A token that was kept back of a request given up heads the next answer of its row."""

    def cancel(self, key: str) -> bool:
        """Give up, and keep the last token."""
        ticket = self.find(key)
        if ticket is not None and ticket.row is not None and ticket.output:
            self.kept = {**getattr(self, "kept", {}), ticket.row: ticket.output[-1]}
        return super().cancel(key)

    def resume(self, ticket: Ticket) -> Progress:
        """Begin with what was kept."""
        new = ticket.progress is None
        progress = super().resume(ticket)
        kept: dict[int, int] = getattr(self, "kept", {})
        if new and ticket.row in kept:
            progress.stops.output.append(kept.pop(ticket.row))
        return progress


@serving_fault("partial-answer-cached", recreates="ferrox #57", schedules=("given-up",))
class CachesPartialAnswers(Server):
    """What was answered before a request was given up is all that it gets when it comes again."""

    def cancel(self, key: str) -> bool:
        """Give up, and take what there is for an answer."""
        if (ticket := self.find(key)) is not None and ticket.output:
            self.partial = {**getattr(self, "partial", {}), key: len(ticket.output)}
        return super().cancel(key)

    def submit(self, request: Request) -> None:
        """Ask for as much as there is."""
        length = getattr(self, "partial", {}).get(request.key, request.max_new_tokens)
        super().submit(msgspec.structs.replace(request, max_new_tokens=length))


@serving_fault("cached-answer-past-stop", recreates="aprender #2016", schedules=("again",))
class IgnoresStopsOfCached(Server):
    """A prompt that was answered before is answered alike, whatever ends the request now."""

    def finish(self, ticket: Ticket, generation: Generation) -> None:
        """Finish, and remember the request."""
        asked: dict[tuple[int, ...], Request] = getattr(self, "asked", {})
        self.asked = {ticket.prompt: ticket.request, **asked}
        super().finish(ticket, generation)

    def resume(self, ticket: Ticket) -> Progress:
        """End it as the first of its prompt ended."""
        progress = super().resume(ticket)
        first = getattr(self, "asked", {}).get(ticket.prompt)
        if first is not None and not progress.stops.output:
            progress.stops = self.decoder.stops(first)
        return progress


@serving_fault("counts-lost-on-preemption", recreates="sglang-omni #2005", schedules=("pressure",))
class LosesCounts(Server):
    """After a preemption, penalties know nothing of what was answered before."""

    def restore(self, ticket: Ticket, row: int) -> None:
        """Restore all but the counts."""
        super().restore(ticket, row)
        self.decoder.rows.counts[row] = 0


@serving_fault("output-not-recomputed", recreates="FastDeploy #3080", schedules=("pressure",))
class RecomputesPromptOnly(Server):
    """After a preemption the prompt is read again, and what was answered is not."""

    class Reader(PromptReader):
        """Reads prompts only."""

        def replay_on(self, tickets: Sequence[Ticket]) -> None:
            """Take the rest for computed."""
            for ticket in tickets:
                if ticket.behind and not ticket.reading:
                    ticket.cached = ticket.known - 1

    reader_kind = Reader


@serving_fault("served-samples-share-seed", recreates="sglang #28805", schedules=("samples",))
class SharesSeeds(Server):
    """All samples of a prompt draw from the stream of the first."""

    def seat(self, ticket: Ticket, row: int) -> None:
        """Seat, with the stream of whoever had the prompt first."""
        super().seat(ticket, row)
        firsts: dict[tuple[int, ...], Request] = getattr(self, "firsts", {})
        self.firsts = {ticket.prompt: ticket.request, **firsts}
        self.decoder.rows.streams.admit(row, self.firsts[ticket.prompt])


@serving_fault(
    "chunk-written-at-start", recreates="tt-metal #55630", schedules=("long", "shared", "waves")
)
class WritesAtStart(Server):
    """While a prompt is read, steps of running rows write into the first block of its row."""

    def seat(self, ticket: Ticket, row: int) -> None:
        """Seat, and stand at the start as a row that decodes: idle ones may be left out."""
        super().seat(ticket, row)
        self.decoder.rows.length[row] = 1
        self.decoder.rows.remaining[row] = 8

    def begin(self) -> None:
        """Go to the end, then begin."""
        for row, ticket in self.seated.items():
            if not (ticket.running or ticket.behind):
                self.decoder.rows.tokens[row, : len(ticket.prompt)] = torch.tensor(ticket.prompt)
                self.decoder.rows.length[row] = ticket.known
        super().begin()


@serving_fault(
    "drafter-of-last-request",
    recreates="vLLM #43559",
    schedules=("again", "waves", "shared"),
    breaks="speed",
)
class KeepsDrafter(Server):
    """In a row that served before, the drafter takes the last request's text for the new one's."""

    def seat(self, ticket: Ticket, row: int) -> None:
        """Seat, but leave the drafter where it was."""
        known = self.decoder.drafted_at.get(row)
        super().seat(ticket, row)
        if known is not None:
            self.decoder.drafted_at[row] = known


class DraftsZeros(Decoder):
    """Base of the next: drafts token 0 in every row while one is past the draft's positions."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Look how long the longest row is."""
        proposal = super().propose(gamma=gamma, unread=unread)
        past = (self.rows.length > DRAFT_POSITIONS).any()
        return proposal._replace(tokens=torch.where(past, 0, proposal.tokens))


@serving_fault(
    "one-row-past-draft-limit",
    recreates="vLLM #58080",
    schedules=("shared", "long"),
    breaks="speed",
    decoder=DraftsZeros,
)
class ServesDraftsPastLimit(Server):
    """While one row is past the draft model's positions, token 0 is drafted in all rows."""
