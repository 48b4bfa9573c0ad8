"""Texts leave the same bits in the cache, whatever shares their chunks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.stock import STOCK, StockBackend
from equivcheck.decoding.backends.tiled import TiledBackend
from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.graphs import Recorder, Step
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import BLOCK, BLOCKS, Block, Prefill, Span, blocks_of
from equivcheck.decoding.probes import Probe
from equivcheck.decoding.reaching import probe_reach, reaches, sound_reaches
from tests.unit.decoding.models import (
    POSITIONS,
    VOCAB,
    decode,
    drafter_named,
    make_decoder,
    make_requests,
    random_llama,
    static,
)

ROWS = 5
LONGEST = POSITIONS - BLOCK * BLOCKS
"""A chunk may go on behind a text."""


@st.composite
def span(draw: st.DrawFn, *, row: int) -> Span:
    start = draw(st.integers(0, LONGEST))
    return Span(row, start, draw(st.integers(start, LONGEST)))


spans = st.permutations(range(ROWS)).flatmap(
    lambda rows: st.tuples(*(span(row=row) for row in rows[:3]))
)


def tokens(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCAB, (ROWS, POSITIONS), generator=generator)


@functools.cache
def near(dtype: torch.dtype = torch.float32) -> StaticModel:
    """A model whose attention stops where no bit shows it."""
    lengths = sound_reaches(static(dtype), rows=BLOCKS, width=BLOCK)
    return adopt(random_llama(dtype), positions=POSITIONS, reaches=lengths)


def anywhere() -> StaticModel:
    """A model whose attention stops at all lengths."""
    return adopt(random_llama(torch.float32), positions=POSITIONS, reaches=reaches(POSITIONS))


def left_by(
    asked: Sequence[Span], *, model: StaticModel, together: bool, whole: bool = True
) -> StaticCache:
    prefill = Prefill(model, model.new_cache(rows=ROWS), together=together, whole=whole)
    with torch.inference_mode():
        prefill.read(tokens(), asked)
    return prefill.cache


def same(one: StaticCache, other: StaticCache, asked: Sequence[Span]) -> bool:
    """Whether the spans have the same bits in both, and all of them have been written."""
    return all(
        torch.equal(left[row, start:stop], right[row, start:stop])
        and bool(left[row, start:stop].flatten(1).any(dim=1).all())
        for row, start, stop in asked
        for left, right in zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    )


@given(asked=spans, together=st.booleans(), whole=st.booleans())
def test_chunks_hold_every_token_once_and_in_order(
    asked: tuple[Span, ...], together: bool, whole: bool
) -> None:
    prefill = Prefill(static(), static().new_cache(rows=ROWS), together=together, whole=whole)
    chunks = list(prefill.chunks(asked))
    blocks = [block for chunk in chunks for block in chunk]
    for row, start, stop in asked:
        starts = [block.start for block in blocks if block.row == row]
        assert starts == list(range(start, start + BLOCK * len(starts), BLOCK))
        assert not starts or start + BLOCK * len(starts) >= stop
    needed = [block for each in asked for block in blocks_of(each)]
    assert set(needed) <= set(blocks)
    assert len(blocks) == len(needed) or whole
    if whole:
        assert all(len(chunk) == BLOCKS for chunk in chunks)
    if together:
        assert len(chunks) == -(-len(needed) // BLOCKS)
    else:
        assert all(len({block.row for block in chunk}) == 1 for chunk in chunks)


def test_a_chunk_that_is_not_full_goes_on_behind_its_last_row() -> None:
    prefill = Prefill(static(), static().new_cache(rows=ROWS), together=True)
    chunks = list(prefill.chunks([Span(2, 0, 20), Span(0, 7, 8), Span(1, 3, 3)]))
    assert chunks == [[Block(2, 0), Block(2, 16), Block(0, 7), Block(0, 23)]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@settings(max_examples=25)
@given(asked=spans)
def test_a_text_leaves_the_same_bits_alone_and_in_company(
    dtype: torch.dtype, asked: tuple[Span, ...]
) -> None:
    model = near(dtype)
    together = left_by(asked, model=model, together=True)
    assert same(left_by(asked, model=model, together=False), together, asked)
    assert same(left_by(asked[::-1], model=model, together=True), together, asked)


@settings(max_examples=10)
@given(asked=spans)
def test_reading_touches_no_other_row(asked: tuple[Span, ...]) -> None:
    cache = left_by(asked, model=static(), together=True)
    assert same(cache, cache, asked)
    untouched = set(range(ROWS)) - {each.row for each in asked}
    for row in untouched:
        assert not any(buffer[row].any() for buffer in (*cache.keys, *cache.values))


def test_what_was_read_is_what_decoding_would_have_written() -> None:
    """Token by token through steps of one token, as an independent way to fill a cache."""
    asked = [Span(0, 0, 40), Span(3, 0, 9)]
    model = static()
    cache = model.new_cache(rows=ROWS)
    for position in range(40):
        model.forward(tokens()[:, position, None], torch.full((ROWS,), position), cache)
    found = left_by(asked, model=model, together=True)
    for row, start, stop in asked:
        for one, other in zip(cache.keys, found.keys, strict=True):
            torch.testing.assert_close(
                one[row, start:stop], other[row, start:stop], atol=2e-5, rtol=2e-5
            )


class Records(Recorder):
    """Records each reading once, as a graph of operations, and replays it from then on."""

    replays = 0

    def execute(self, key: Hashable, step: Step) -> Tensor:
        if key not in self.graphs:
            self.graphs[key] = make_fx(step)()  # type: ignore[assignment]
        self.replays += 1
        replay: Callable[[], Tensor] = self.graphs[key]  # type: ignore[assignment]
        return replay()


def test_a_recorded_reading_reads_what_is_asked_for_then() -> None:
    """What depends on the host would be frozen as it was when it was recorded."""
    model = near()
    prefill = Prefill(model, model.new_cache(rows=ROWS), together=True)
    prefill.recorder = recorder = Records(model.device)
    text = tokens()
    with torch.inference_mode():
        prefill.read(text, [Span(4, 0, 100), Span(0, 0, 150)])
        recorded = len(recorder.graphs)
        for buffer in (*prefill.cache.keys, *prefill.cache.values):
            buffer.zero_()
        asked = [Span(1, 0, 150), Span(2, 5, 6), Span(3, 0, 33)]
        prefill.read(text, asked)
    assert len(recorder.graphs) == recorded
    assert recorder.replays > 2 * recorded
    assert same(left_by(asked, model=model, together=False), prefill.cache, asked)


def test_readings_are_recorded_ahead_up_to_the_longest() -> None:
    class Notes(Recorder):
        records = True

        def recorded(self, key: Hashable, step: Step) -> None:  # type: ignore[override]
            self.graphs[key] = None  # type: ignore[assignment]

    model = anywhere()
    prefill = Prefill(model, model.new_cache(rows=ROWS), together=True)
    prefill.ready(tokens(), longest=20)
    assert not prefill.recorder.graphs
    prefill.recorder = Notes(model.device)
    prefill.ready(tokens(), longest=100)
    assert list(prefill.recorder.graphs) == [128, 192]
    met = {
        model.reach(max(block.start for block in chunk) + BLOCK)
        for chunk in prefill.chunks(Span(row, 0, length) for row, length in enumerate((100, 7, 99)))
    }
    assert met <= set(prefill.recorder.graphs)


def test_recorded_readings_have_one_shape_and_one_place_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A recording reads from the buffer, and as many blocks, as it was made with."""
    model = near()
    monkeypatch.setattr(Recorder, "records", True)
    prefill = Prefill(model, model.new_cache(rows=ROWS), together=True, whole=False)
    prefill.recorder = Records(model.device)
    before = prefill.places
    with torch.inference_mode():
        prefill.read(tokens(), [Span(1, 0, 5), Span(0, 0, 3)])
    assert prefill.places is before
    assert prefill.places.tolist() == [[1, 0, 0, 0], [0, 0, 16, 32]]


@pytest.mark.parametrize("drafter", ["none", "model"])
def test_reading_together_changes_no_bit_of_an_answer(drafter: str) -> None:
    requests = make_requests(14)
    expected = decode(make_decoder(rows=4), requests)
    decoder = make_decoder(drafter_named(drafter, rows=4), rows=4, reads_together=True)
    for key, answer in decode(decoder, requests).items():
        assert answer.token_ids == expected[key].token_ids
        assert answer.logit_digests == expected[key].logit_digests


class SlotDependent(StockBackend):
    """A chunk's products have another last bit in its second half, and steps' have not."""

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        outputs = super().linear(inputs, weight, bias)
        if inputs.shape[:2] == (BLOCKS, BLOCK):
            late = outputs[BLOCKS // 2 :]
            late.copy_(torch.nextafter(late, torch.tensor(torch.inf)))
        return outputs


def test_texts_are_read_alone_where_company_would_show() -> None:
    sound = static()
    model = StaticModel(
        sound.architecture, sound.weights, positions=POSITIONS, backend=SlotDependent()
    )
    report = probe_contract(model, rows=4, width=8, tokens=20)
    assert report.contract is not None
    assert "read-alone" in report.contract
    assert not report.reads_together
    (failed,) = report.failed
    assert failed.name == "prefill"
    assert not failed.required
    assert 0 < failed.differing < failed.compared
    assert probe_contract(sound, rows=4, width=8, tokens=20).reads_together
    alone = probe_contract(sound, rows=1, width=8, tokens=20)
    assert alone.contract is not None
    assert not alone.reads_together


def test_reading_that_leaves_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read alone must not stand in the cache still, where it is read together."""

    class Idle(Prefill):
        def read(self, tokens: Tensor, spans: Iterable[Span]) -> None:
            if not self.together:
                super().read(tokens, spans)

    monkeypatch.setattr("equivcheck.decoding.contract.Prefill", Idle)
    assert not probe_contract(static(), rows=4, width=8, tokens=20).reads_together


def test_what_is_built_for_any_company_has_to_stand_it_in_chunks() -> None:
    class Built(SlotDependent):
        batch_invariant = True

    model = StaticModel(
        static().architecture, static().weights, positions=POSITIONS, backend=Built()
    )
    report = probe_contract(model, rows=4, width=8, tokens=20)
    assert report.contract is None
    assert "prefill" in {probe.name for probe in report.failed if probe.required}


def test_reaches_are_probed_at_the_shape_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that stop at one reach alone and together would not show what stopping there did."""

    def unsound(model: StaticModel, *, rows: int, width: int) -> Probe:
        probe = probe_reach(model, rows=rows, width=width)
        of_chunk = (rows, width) == (BLOCKS, BLOCK)
        return msgspec.structs.replace(probe, differing=1) if of_chunk else probe

    monkeypatch.setattr("equivcheck.decoding.contract.probe_reach", unsound)
    report = probe_contract(near(), rows=4, width=8, tokens=20)
    assert not report.reads_together
    assert [probe.name for probe in report.failed] == ["prefill"]


def test_a_window_may_stand_in_any_row() -> None:
    """Windows of one row see each other's tokens, as if they were one window."""
    model = adopt(random_llama(torch.float32), positions=POSITIONS, backend=STOCK)
    text = tokens()[:1, :32]
    one, many = model.new_cache(rows=1), model.new_cache(rows=3)
    whole = model.forward(text, torch.tensor([0]), one)
    parts = model.forward(text.view(2, 16), torch.tensor([0, 16]), many.under(torch.tensor([2, 2])))
    torch.testing.assert_close(parts.view(1, 32, -1), whole, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(many.keys[-1][2:, :32], one.keys[-1][:, :32], atol=2e-5, rtol=2e-5)
    assert not many.keys[-1][:2].any()


def test_where_no_shape_is_kept_a_chunk_has_the_blocks_that_are_needed() -> None:
    """Short texts do not pay for blocks that nobody needs, and long ones read as before."""

    class Ragged(TiledBackend):
        ragged = True

    sizes = []

    class Counts(StaticModel):
        def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
            sizes.append(tokens.shape[0])
            return super().forward(tokens, start, cache)

    known = static()
    model = Counts(known.architecture, known.weights, positions=POSITIONS, backend=Ragged())
    tokens = torch.arange(2 * POSITIONS).view(2, POSITIONS) % known.architecture.vocab
    prefill = Prefill(model, model.new_cache(rows=2), together=True)
    prefill.read(tokens, [Span(0, 0, BLOCK + 1)])
    prefill.read(tokens, [Span(row, 0, BLOCK * BLOCKS) for row in range(2)])
    assert sizes == [2, BLOCKS, BLOCKS]
