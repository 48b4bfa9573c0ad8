"""Blocks of prompts that were read, kept for prompts that begin alike.

A tree: a block hangs under the one that was read before it, so a block is found only behind the
very tokens that it was read behind. Blocks are never written again; a row takes copies, and what it
goes on to write is its own. Only what reading a prompt has left is kept: keys and values that a
decoding step left may have other low bits than reading the same tokens would leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import torch

from equivcheck.decoding.cache import StaticCache


class Node:
    """A block of tokens behind those of its parents."""

    def __init__(self, parent: Node | None, tokens: tuple[int, ...], *, slot: int) -> None:
        """The block of `tokens` lies in a slot; the root has none, and slot -1."""
        self.parent, self.tokens, self.slot = parent, tokens, slot
        self.children: dict[tuple[int, ...], Node] = {}
        self.users = 0
        """Requests that hold it: it stays while there is one."""
        self.used = 0
        """When it was last asked for; greater is later."""
        self.reader = ""
        """Key of the request that it was read for."""


class PrefixStore:
    """Keeps up to `capacity` tokens of what rows have read."""

    def __init__(self, cache: StaticCache, *, block: int, capacity: int) -> None:
        """Keep blocks of `block` tokens of the rows of `cache`."""
        self.block = block
        self.sources = cache.buffers
        slots = capacity // block
        self.kept = tuple(
            torch.empty((slots, block, *each.shape[2:]), dtype=each.dtype, device=each.device)
            for each in self.sources
        )
        self.free = list(range(slots))
        self.root = Node(None, (), slot=-1)
        self.clock = count(1)

    @property
    def keeps(self) -> bool:
        """Whether it has room for anything at all."""
        return bool(self.kept[0].shape[0])

    def match(self, tokens: Sequence[int], *, behind: Sequence[Node] = ()) -> list[Node]:
        """Known blocks of a text, in order, behind those that are already at hand."""
        node = behind[-1] if behind else self.root
        found = []
        for start in range(len(behind) * self.block, len(tokens), self.block):
            child = node.children.get(tuple(tokens[start : start + self.block]))
            if child is None:
                break
            child.used = next(self.clock)
            found.append(node := child)
        return found

    def hold(self, nodes: Sequence[Node]) -> None:
        """Have blocks stay until they are let go."""
        for node in nodes:
            node.users += 1

    def let_go(self, nodes: Sequence[Node]) -> None:
        """End one holding."""
        for node in nodes:
            node.users -= 1

    def copy(self, nodes: Sequence[Node], *, row: int, start: int) -> None:
        """Write blocks into a row, from position `start` on."""
        slots = torch.tensor([node.slot for node in nodes], device=self.kept[0].device)
        place = slice(start, start + len(nodes) * self.block)
        for kept, source in zip(self.kept, self.sources, strict=True):
            source[row, place] = kept[slots].flatten(0, 1)

    def keep(
        self, text: Sequence[int], *, behind: Sequence[Node], row: int, reader: str
    ) -> list[Node]:
        """Keep the whole blocks of a text that a row has, as far as there is room.

        Args:
            text: from its first token on.
            behind: blocks of it that are at hand already.
            row: that has them.
            reader: whom they were read for.

        Returns:
            The blocks behind those, each held for the caller.
        """
        nodes, fresh = list(behind), []
        for start in range(len(behind) * self.block, len(text) - self.block + 1, self.block):
            tokens = tuple(text[start : start + self.block])
            parent = nodes[-1] if nodes else self.root
            node = parent.children.get(tokens)
            if node is None:
                if (slot := self.room()) is None:
                    break
                node = parent.children[tokens] = Node(parent, tokens, slot=slot)
                node.reader = reader
                fresh.append(node)
            node.used = next(self.clock)
            self.hold([node])
            nodes.append(node)
        if fresh:
            # Behind a block that is new all others are.
            self.write(fresh, row=row, stop=len(nodes) * self.block)
        return nodes[len(behind) :]

    def write(self, nodes: Sequence[Node], *, row: int, stop: int) -> None:
        """Copy blocks out of a row, the last of which ends at position `stop`."""
        slots = torch.tensor([node.slot for node in nodes], device=self.kept[0].device)
        place = slice(stop - len(nodes) * self.block, stop)
        for kept, source in zip(self.kept, self.sources, strict=True):
            kept.index_copy_(0, slots, source[row, place].unflatten(0, (-1, self.block)))

    def room(self) -> int | None:
        """A free slot, if need be that of the block which nobody has asked for longest."""
        if self.free:
            return self.free.pop()
        dispensable = min(self.leaves(), key=lambda node: node.used, default=None)
        if dispensable is None:
            return None
        assert dispensable.parent is not None
        del dispensable.parent.children[dispensable.tokens]
        return dispensable.slot

    def leaves(self) -> Iterator[Node]:
        """Blocks that may be given away: held by nobody, and with none behind them."""
        waiting = list(self.root.children.values())
        while waiting:
            node = waiting.pop()
            waiting += node.children.values()
            if not node.children and not node.users:
                yield node
