"""Blocks are found behind the tokens that they were read behind, and given away when unused."""

from __future__ import annotations

import torch

from equivcheck.decoding.cache import StaticCache
from equivcheck.serving.prefix_store import Node, PrefixStore

BLOCK = 4


def cache() -> StaticCache:
    """Two rows of 16 positions, each with numbers of its own."""
    keys, values = torch.arange(32.0).reshape(2, 16, 1, 1), -torch.arange(32.0).reshape(2, 16, 1, 1)
    return StaticCache(keys=(keys,), values=(values,), reach=16)


def kept(store: PrefixStore, tokens: range, *, row: int = 0) -> list[Node]:
    """A text that is read in a row and kept."""
    return store.keep(tokens, behind=[], row=row, reader="test/0")


def test_a_block_is_found_behind_its_own_beginning_only() -> None:
    store = PrefixStore(cache(), block=BLOCK, capacity=16)
    nodes = kept(store, range(12))
    assert store.match(range(12)) == nodes
    assert store.match(range(11)) == nodes[:2]
    assert store.match([*range(4), 9, *range(5, 12)]) == nodes[:1]
    assert store.match(range(4, 12)) == []
    assert store.match(range(12), behind=nodes[:1]) == nodes[1:]


def test_what_is_taken_over_is_a_copy() -> None:
    source = cache()
    store = PrefixStore(source, block=BLOCK, capacity=16)
    nodes = kept(store, range(8), row=1)
    expected = source.keys[0][1, :8].clone()
    source.keys[0][1] = 0
    store.copy(nodes, row=0, start=0)
    assert torch.equal(source.keys[0][0, :8], expected)
    assert torch.equal(source.values[0][0, :8], -expected)
    source.keys[0][0] = 7
    store.copy(nodes[1:], row=1, start=8)
    assert torch.equal(source.keys[0][1, 8:12], expected[4:])


def test_what_goes_on_from_known_blocks_is_kept_behind_them() -> None:
    source = cache()
    store = PrefixStore(source, block=BLOCK, capacity=16)
    first = kept(store, range(8))
    longer = store.keep(range(14), behind=first[:1], row=1, reader="test/1")
    assert longer[0] is first[1]
    assert [node.reader for node in longer] == ["test/0", "test/1"]
    assert [node.users for node in (*first, *longer)] == [1, 2, 2, 1]
    store.copy(longer, row=0, start=4)
    expected = [4.0, 5, 6, 7, 24, 25, 26, 27]
    assert source.keys[0][0, 4:12].flatten().tolist() == expected


def test_a_block_that_is_held_is_not_given_away() -> None:
    store = PrefixStore(cache(), block=BLOCK, capacity=8)
    first = kept(store, range(8))
    assert kept(store, range(20, 28)) == []
    store.let_go(first)
    second = kept(store, range(20, 28))
    assert len(second) == 2
    assert store.match(range(8)) == []
    assert store.match(range(20, 28)) == second


def test_the_block_that_nobody_asked_for_longest_goes_first() -> None:
    store = PrefixStore(cache(), block=BLOCK, capacity=8)
    old, new = kept(store, range(4)), kept(store, range(50, 54))
    store.let_go([*old, *new])
    store.match(range(4))
    kept(store, range(60, 64))
    assert store.match(range(4)) == old
    assert store.match(range(50, 54)) == []


def test_a_store_without_room_keeps_nothing() -> None:
    store = PrefixStore(cache(), block=BLOCK, capacity=3)
    assert not store.keeps
    assert kept(store, range(4)) == []
