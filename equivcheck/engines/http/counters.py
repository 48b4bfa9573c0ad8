"""What a server counts of all its requests: Prometheus text to `Counters`, and whether they fit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.core.generation import DraftCounts
from equivcheck.engines.http.wire import Wire

METRICS = "/metrics"
REREADS = 5
"""How often counters are read again where they fall short: a server may write them with a delay."""
REREAD_SECONDS = 0.2
_LINE = re.compile(
    r"^(?P<server>\w+):spec_decode_num_(?P<what>drafts|draft_tokens|accepted_tokens"
    r"|accepted_tokens_per_pos)_total(?:\{(?P<labels>.*)\})? (?P<value>[0-9.eE+-]+)$"
)
_POSITION = re.compile(r'position="(\d+)"')


class Counters(NamedTuple):
    """Totals since the server was started, over all of its requests."""

    steps: int
    drafted: int
    accepted: int
    by_slot: tuple[int, ...]
    """Accepted drafts by place in the block, as far as the server has named places."""

    def since(self, before: Counters) -> Counters:
        """What has been added."""
        ours = (*before.by_slot, *[0] * (len(self.by_slot) - len(before.by_slot)))
        return Counters(
            self.steps - before.steps,
            self.drafted - before.drafted,
            self.accepted - before.accepted,
            tuple(now - then for now, then in zip(self.by_slot, ours, strict=False)),
        )

    @property
    def counts(self) -> DraftCounts:
        """As one request's, where there was only one."""
        return DraftCounts(
            drafted=self.drafted,
            accepted=self.accepted,
            steps=self.steps,
            accepted_by_slot=self.by_slot,
        )


def read_counters(wire: Wire) -> Counters | None:
    """The counters of drafts; None: the server has none, or shows none."""
    reply = wire.get(METRICS)
    return parse(reply.body.decode("utf-8", "replace")) if reply.status == 200 else None


def parse(text: str) -> Counters | None:
    """Counters out of Prometheus text, added up over labels; None: it has none of drafts."""
    totals = {"drafts": 0, "draft_tokens": 0, "accepted_tokens": 0}
    slots: dict[int, int] = {}
    seen = False
    for line in text.splitlines():
        if not (found := _LINE.match(line)):
            continue
        try:
            value = int(float(found["value"]))
        except (ValueError, OverflowError):
            continue
        seen = True
        if found["what"] in totals:
            totals[found["what"]] += value
        elif (place := _POSITION.search(found["labels"] or "")) and int(place[1]) < 1024:
            slots[int(place[1])] = slots.get(int(place[1]), 0) + value
    if not seen:
        return None
    by_slot = tuple(slots.get(slot, 0) for slot in range(max(slots, default=-1) + 1))
    return Counters(totals["drafts"], totals["draft_tokens"], totals["accepted_tokens"], by_slot)


def contradiction(told: Iterable[DraftCounts | None], server: Counters) -> str | None:
    """Why answers' counts cannot be part of what the server counted; None: they may be.

    Others may use the server at the same time, so it may have counted more, and never less.
    """
    found = [counts for counts in told if counts is not None]
    for name, ours, theirs in (
        ("drafted", sum(each.drafted for each in found), server.drafted),
        ("accepted", sum(each.accepted for each in found), server.accepted),
    ):
        if ours > theirs:
            return (
                f"its answers say that {ours} tokens were {name}, and its counters rose by {theirs}"
            )
    return None


def compare_counts(
    read: Callable[[], Counters | None],
    before: Counters,
    counts: Sequence[DraftCounts | None],
    *,
    url: str,
) -> None:
    """Compare what answers say of their drafts with what the server counted since `before`.

    Raises:
        EngineError: they say more than there was.
        EngineGoneError: the counters went back.
    """
    for last in range(REREADS, -1, -1):
        after = read()
        if after is None or min(after.since(before)[:3]) < 0:
            raise EngineGoneError(f"{url}: its counters went back: was it restarted?")
        wrong = contradiction(counts, after.since(before))
        if wrong is None:
            return
        if last:
            time.sleep(REREAD_SECONDS)
    raise EngineError(f"{url}: {wrong}")
