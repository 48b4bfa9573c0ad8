"""F26: serving. Blocks of prompts that are not what they are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equivcheck.faults.fault import serving_fault
from equivcheck.serving.prefix_store import Node, PrefixStore
from equivcheck.serving.reading import PromptReader
from equivcheck.serving.server import Server
from equivcheck.serving.ticket import Ticket


@serving_fault(
    "prefix-block-lost", recreates="tenstorrent/vllm #415", schedules=("again", "shared")
)
class LosesBlock(Server):
    """Of the blocks that a prompt takes over, the last counts as copied and is not."""

    class Reader(PromptReader):
        """Loses it."""

        def take_over(self, ticket: Ticket, blocks: list[Node]) -> None:
            """Copy, then forget what was copied last."""
            super().take_over(ticket, blocks)
            assert ticket.row is not None
            lost = slice(ticket.cached - self.store.block, ticket.cached)
            for buffer in self.store.sources:
                buffer[ticket.row, lost] = 0.0

    reader_kind = Reader


@serving_fault(
    "prefix-hit-one-block-on",
    recreates="llm-d-inference-sim #705",
    schedules=("again", "shared"),
)
class CountsUnread(Server):
    """Behind the blocks that are known, one more counts as known, which nobody has read."""

    class Reader(PromptReader):
        """Counts it."""

        def take_over(self, ticket: Ticket, blocks: list[Node]) -> None:
            """Take over, and go on a block later."""
            super().take_over(ticket, blocks)
            ticket.cached = min(ticket.cached + self.store.block, ticket.to_read)

    reader_kind = Reader


@serving_fault("prefix-border-late", recreates="MinivLLM #87", schedules=("again", "shared"))
class ReadsOnLate(Server):
    """Behind a prefix that was taken over, reading goes on one token late."""

    class Reader(PromptReader):
        """Leaves a token out."""

        def take_over(self, ticket: Ticket, blocks: list[Node]) -> None:
            """Take over, and go on a token later."""
            super().take_over(ticket, blocks)
            ticket.cached = min(ticket.cached + 1, ticket.to_read)

    reader_kind = Reader


@serving_fault("block-without-beginning", recreates="aibrix #2329", schedules=("again",))
class FindsAnywhere(Server):
    """A block is found by its own tokens, whatever stood before it when it was read."""

    class Store(PrefixStore):
        """Knows blocks by their tokens."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.by_tokens: dict[tuple[int, ...], Node] = {}

        def keep(self, text: Sequence[int], **options: Any) -> list[Node]:
            nodes = super().keep(text, **options)
            self.by_tokens |= {node.tokens: node for node in nodes}
            return nodes

        def match(self, tokens: Sequence[int], *, behind: Sequence[Node] = ()) -> list[Node]:
            """Blocks of these tokens, wherever they were read."""
            found = []
            for start in range(len(behind) * self.block, len(tokens), self.block):
                node = self.by_tokens.get(tuple(tokens[start : start + self.block]))
                if node is None:
                    break
                found.append(node)
            return found

    store_kind = Store


@serving_fault("evicted-block-found", recreates="vLLM #4761", schedules=("crowded",))
class FindsEvicted(Server):
    """A block that was given away is still found, with what now stands in its place."""

    class Store(PrefixStore):
        """Gives blocks away without taking them out of the tree."""

        def room(self) -> int | None:
            """As it is, but put the block back."""
            before = {node: node.parent for node in self.leaves()}
            slot = super().room()
            for node, parent in before.items():
                assert parent is not None
                parent.children.setdefault(node.tokens, node)
            return slot

    store_kind = Store


@serving_fault("block-freed-in-use", recreates="atlas #373", schedules=("pressure",))
class FreesInUse(Server):
    """Blocks that requests count on may be given away; preempted, these take what is there now."""

    class Store(PrefixStore):
        """Holds nothing."""

        def hold(self, nodes: Sequence[Node]) -> None:
            """Leave them to be given away."""

        def let_go(self, nodes: Sequence[Node]) -> None:
            """Nothing is held."""

    store_kind = Store
