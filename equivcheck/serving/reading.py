"""How prompts get into rows: read chunk by chunk, taken over from the store, or computed again.

One chunk, or one window a row, at a time, so that no prompt, however long, keeps running rows
waiting for longer than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.prefill import BLOCK, Prefill, Span
from equivcheck.serving.prefix_store import Node, PrefixStore
from equivcheck.serving.statistics import Statistics
from equivcheck.serving.ticket import Ticket


class PromptReader:
    """Fills the rows of requests up to where decoding begins or goes on."""

    def __init__(self, decoder: Decoder, store: PrefixStore, statistics: Statistics) -> None:
        """Read with a decoder, and keep blocks in a store."""
        self.decoder, self.store, self.statistics = decoder, store, statistics

    def seat(self, ticket: Ticket) -> None:
        """Begin with a request that has just been given its row: blocks that it holds."""
        ticket.cached = ticket.taken = 0
        if ticket.held:
            self.take_over(ticket, ticket.held)

    def read_on(self, tickets: Sequence[Ticket]) -> None:
        """Read the next chunk of the prompts of requests in rows, and keep what was read."""
        reading = [ticket for ticket in tickets if ticket.reading]
        if self.store.keeps:
            for ticket in reading:
                self.extend(ticket)
        spans = plan(reading, self.decoder.prefill, once=self.store.keeps)
        self.decoder.prefill.read(self.decoder.rows.tokens, spans)
        by_row = {ticket.row: ticket for ticket in reading}
        for span in spans:
            ticket = by_row[span.row]
            ticket.cached = span.stop
            self.statistics.read += span.stop - span.start
        for ticket in reading if self.store.keeps else ():
            # A copy takes as long for one block as for a whole prompt; others may wait for it.
            if len(reading) > 1 or not ticket.reading:
                self.keep(ticket)
        self.introduce({row: each.cached + 1 for row, each in by_row.items() if row is not None})

    def extend(self, ticket: Ticket) -> None:
        """Take over whatever the store knows of the rest of a prompt."""
        if len(ticket.held) * self.store.block != ticket.cached:
            return
        if found := self.known(ticket):
            self.store.hold(found)
            ticket.held += found
            self.take_over(ticket, found)

    def known(self, ticket: Ticket) -> list[Node]:
        """The blocks that the store knows behind those that a request holds."""
        return self.store.match(ticket.prompt[: ticket.to_read], behind=ticket.held)

    def take_over(self, ticket: Ticket, blocks: list[Node]) -> None:
        """Copy blocks into a request's row instead of reading them."""
        assert ticket.row is not None
        self.store.copy(blocks, row=ticket.row, start=ticket.cached)
        ticket.cached += len(blocks) * self.store.block
        ticket.taken += len(blocks) * self.store.block

    def keep(self, ticket: Ticket) -> None:
        """Keep the whole blocks that a request has read, for prompts that begin alike."""
        assert ticket.row is not None
        ticket.held += self.store.keep(
            ticket.prompt[: ticket.cached],
            behind=ticket.held,
            row=ticket.row,
            reader=ticket.request.key,
        )

    def source(self, ticket: Ticket) -> str | None:
        """The request that the last block was read for which another took over."""
        blocks = ticket.taken // self.store.block
        return ticket.held[blocks - 1].reader if blocks else None

    def part_with(self, ticket: Ticket) -> None:
        """Let the blocks of a request go, which has ended."""
        self.store.let_go(ticket.held)
        ticket.held = []

    def introduce(self, lengths: Mapping[int, int]) -> None:
        """Have the drafter read rows up to these lengths, if it is to be asked at all."""
        if lengths and self.decoder.next_gamma() and self.decoder.gamma.unread:
            self.decoder.introduce(lengths)

    def replay_on(self, tickets: Sequence[Ticket]) -> None:
        """Compute one window of what each request was answered before it lost its row.

        By the step that computed it first: reading it like a prompt might leave other low bits.
        What the step writes for other rows is what stands there, or lies behind their ends.
        """
        tickets = [ticket for ticket in tickets if ticket.behind and not ticket.reading]
        if not tickets:
            return
        decoder = self.decoder
        rows, width = decoder.rows, decoder.width
        window = rows.window(rows.tokens[:, :0], width=width)
        start = decoder.start().clone()
        for ticket in tickets:
            window[ticket.row] = rows.tokens[ticket.row, ticket.cached : ticket.cached + width]
            start[ticket.row] = ticket.cached
        reach = decoder.reach_of(max(ticket.known for ticket in tickets))
        decoder.model.forward(window, start, decoder.cache.upto(reach))
        for ticket in tickets:
            ticket.cached = min(ticket.cached + width, ticket.known - 1)
        self.statistics.replays += 1


def block_of(prefill: Prefill) -> int:
    """Tokens of the blocks in which prompts are shared: what may be read apart from the rest.

    Where a token's bits may depend on what else is in its chunk, that is a chunk: a text is cut
    into the same ones then, whatever is known of it already.
    """
    return BLOCK if prefill.together else BLOCK * prefill.size


def plan(reading: Sequence[Ticket], prefill: Prefill, *, once: bool) -> list[Span]:
    """The spans of the next chunk, for requests in the order of arrival.

    Args:
        reading: requests whose prompts are not yet read.
        prefill: that reads them.
        once: a block that several are to read is read for the first; the others take it over.
    """
    block = block_of(prefill)
    left = BLOCK * prefill.size // block
    claimed: set[tuple[int, ...]] = set()
    spans = []
    for ticket in reading:
        stop = ticket.cached
        while left and stop < ticket.to_read:
            end = min(stop + block, ticket.to_read)
            if once and end - stop == block:
                beginning = ticket.prompt[:end]
                if beginning in claimed:
                    break
                claimed.add(beginning)
            stop, left = end, left - 1
        if stop > ticket.cached:
            assert ticket.row is not None
            spans.append(Span(ticket.row, ticket.cached, stop))
    return spans
