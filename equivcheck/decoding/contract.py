"""The identity contract: probe first, then promise.

`fixed-shape` says: at this device, dtype, thread count and step shape, a token's logits have the
same bits in whichever row and slot it sits and whatever the other rows and slots hold. It is
measured bit for bit on the very step function that decodes, never assumed: some matrix libraries
choose a tail kernel by a row's index, and then the same token has other bits in another slot. A
step padded to a multiple of 8 rows has no tail.

`batch-invariant` promises more, for arithmetic that is built for it: the bits do not depend on how
many rows and slots there are either.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import BLOCK, Prefill, Span, chunk_on
from equivcheck.decoding.probes import Probe, probe_operations
from equivcheck.decoding.reaching import probe_reach

SHAPE_MULTIPLE = 8
"""Steps of other widths are not promised anything: their tail kernels depend on the row."""
ALONE = 3
"""Texts that are also decoded by themselves."""
PREFILL = "prefill"


class ContractReport(Struct, frozen=True, kw_only=True):
    """What was probed and what holds."""

    contract: str | None
    """Name to compare arms by: equal names promise equal bits. None: nothing is promised."""
    device: str
    dtype: str
    threads: int
    rows: int
    width: int
    positions: int
    probes: tuple[Probe, ...]
    """The whole step first, then single operations where they were probed."""

    @property
    def failed(self) -> tuple[Probe, ...]:
        """Probes that did not hold."""
        return tuple(probe for probe in self.probes if probe.differing)

    @property
    def reads_together(self) -> bool:
        """Whether prompts of several rows may share a chunk without a bit changing."""
        found = [probe for probe in self.probes if probe.name == PREFILL]
        return bool(found) and not found[0].differing


@torch.inference_mode()
def probe_contract(
    model: StaticModel, *, rows: int, width: int, tokens: int = 64, operations: bool = False
) -> ContractReport:
    """Probe the step at one shape.

    Args:
        model: the target.
        rows: batch rows of the step.
        width: slots of the step.
        tokens: positions per row over which plain and speculative logits are compared.
        operations: probe single operations too; done anyway when the step itself fails, so that
            the report can name the culprit.
    """
    whole = [probe_step(model, rows=rows, width=width, tokens=tokens)]
    if len(model.reaches) > 1:
        whole.append(probe_reach(model, rows=rows, width=width))
    invariant = model.backend.batch_invariant
    if invariant:
        whole.append(probe_alone(model, rows=rows, width=width, tokens=tokens))
    if rows > 1:
        whole.append(probe_prefill(model))
    broken = any(probe.differing and probe.required for probe in whole)
    single: tuple[Probe, ...] = ()
    if operations or broken:
        single = tuple(probe_operations(model, rows=rows, width=width))
    holds = not broken and promisable(model.backend, width=width)
    threads = torch.get_num_threads()
    dtype = str(model.dtype).removeprefix("torch.")
    positions = model.key_positions.shape[0]
    device = device_name(model.device)
    shape = f"fixed-shape {rows}x{width}x{positions}"
    name = f"batch-invariant {positions}" if invariant else shape
    if model.backend.name != "stock":
        name = f"{name} {model.backend.name}"
    if any(probe.differing and not probe.required for probe in whole):
        name = f"{name} read-alone"
    return ContractReport(
        contract=f"{name} {dtype} {device} threads={threads}" if holds else None,
        device=device,
        dtype=dtype,
        threads=threads,
        rows=rows,
        width=width,
        positions=positions,
        probes=(*whole, *single),
    )


def promisable(backend: Backend, *, width: int) -> bool:
    """Whether a contract is offered at a width at all, should its probes hold."""
    return backend.batch_invariant or width % SHAPE_MULTIPLE == 0


@torch.inference_mode()
def probe_alone(model: StaticModel, *, rows: int, width: int, tokens: int, seed: int = 1) -> Probe:
    """Compare logits in a batch with those of each text by itself, one token wide."""
    generator = torch.Generator().manual_seed(seed)
    texts = torch.randint(model.architecture.vocab, (rows, tokens), generator=generator)
    texts = texts.to(model.device)
    together = plain_logits(model, texts, tokens=tokens, width=width)
    differing = 0
    for row in range(min(rows, ALONE)):
        alone = plain_logits(model, texts[row : row + 1], tokens=tokens, width=1)
        differing += int((alone[0] != together[row]).any(dim=-1).sum())
    return Probe(
        name="alone",
        shape=f"1x1 against {rows}x{width} tokens",
        differing=differing,
        compared=min(rows, ALONE) * tokens,
    )


@torch.inference_mode()
def probe_prefill(model: StaticModel, *, seed: int = 2) -> Probe:
    """Compare what texts leave in the cache when they share chunks, and when each has its own.

    Where it matters, texts are read one by one: a contract does not hang on it, unless bits are
    meant not to depend on company at all.
    """
    chunk, positions = chunk_on(model.device), model.reaches[-1]
    near, far = min(chunk + 7, positions - chunk), max(0, positions - 2 * chunk)
    spans = [
        Span(0, 0, chunk // 2 + 5),
        Span(1, 9, 12),
        Span(2, 0, near),
        Span(3, far, far + BLOCK + 1),
    ]
    generator = torch.Generator().manual_seed(seed)
    shape = (len(spans), positions)
    tokens = torch.randint(model.architecture.vocab, shape, generator=generator).to(model.device)

    # One cache for both: at a long context a second one may be more than a device has left.
    cache = model.new_cache(rows=len(spans))
    buffers = (*cache.keys, *cache.values)
    Prefill(model, cache, together=False).read(tokens, spans)
    alone = [[each[row, start:stop].clone() for each in buffers] for row, start, stop in spans]
    for each in buffers:
        each.zero_()
    Prefill(model, cache, together=True).read(tokens, spans[::-1])
    reaches = probe_reach(model, rows=chunk // BLOCK, width=BLOCK)
    differing, compared = reaches.differing, reaches.compared
    for (row, start, stop), left in zip(spans, alone, strict=True):
        differs = [
            (one != other[row, start:stop]).flatten(1).any(dim=1)
            for one, other in zip(left, buffers, strict=True)
        ]
        differing += int(torch.stack(differs).any(dim=0).sum())
        compared += stop - start
    return Probe(
        name=PREFILL,
        shape=f"chunks of {chunk} tokens, of {len(spans)} texts and of one",
        differing=differing,
        compared=compared,
        required=model.backend.batch_invariant,
    )


@torch.inference_mode()
def probe_step(model: StaticModel, *, rows: int, width: int, tokens: int, seed: int = 0) -> Probe:
    """Compare logits of one-token steps with those of windows, in other rows and slots.

    The second pass gives each text to another row, starts rows at different slots of their
    windows, takes windows of 1 to `width` live tokens in turn, and attends only as far as it has
    to, where the first spans the whole cache.
    """
    generator = torch.Generator().manual_seed(seed)
    texts = torch.randint(model.architecture.vocab, (rows, tokens + width), generator=generator)
    texts = texts.to(model.device)
    plain = plain_logits(model, texts, tokens=tokens, width=width)
    moved = torch.roll(torch.arange(rows, device=model.device), 1)
    cache = model.new_cache(rows=rows)
    starts = torch.zeros(rows, dtype=torch.int64, device=model.device)
    slots = torch.arange(width, device=model.device)
    strides = 1 + torch.arange(rows, device=model.device) % width
    differing = compared = 0
    while bool((starts < tokens).any()):
        index = (starts[:, None] + slots).clamp(max=texts.shape[1] - 1)
        window = texts[moved].gather(1, index)
        # Tokens past a row's live slots are padding: their content must not matter.
        live = slots < strides[:, None]
        window = torch.where(live, window, 7)
        seen = cache.upto(model.reach(int(starts.max()) + width))
        wanted = live if model.backend.ragged else None
        logits = model.window_logits(window, starts, seen, wanted=wanted)
        counted = live & (index < tokens) & (starts[:, None] + slots < tokens)
        expected = plain[moved[:, None], index.clamp(max=tokens - 1)]
        differs = (logits != expected).any(dim=-1) & counted
        differing += int(differs.sum())
        compared += int(counted.sum())
        starts = torch.minimum(starts + strides, torch.full_like(starts, tokens))
        strides = strides % width + 1
    return Probe(
        name="step",
        shape=f"{rows}x{width} tokens",
        differing=differing,
        compared=compared,
    )


def plain_logits(model: StaticModel, texts: Tensor, *, tokens: int, width: int) -> Tensor:
    """Logits of each text decoded one live token a step, [rows, tokens, vocab]."""
    cache = model.new_cache(rows=texts.shape[0])
    collected = []
    for position in range(tokens):
        window = torch.zeros((texts.shape[0], width), dtype=torch.int64, device=model.device)
        window[:, 0] = texts[:, position]
        start = torch.full((texts.shape[0],), position, device=model.device)
        collected.append(model.logits(model.forward(window, start, cache))[:, 0])
    return torch.stack(collected, dim=1)


def device_name(device: torch.device) -> str:
    """A name that tells GPUs of different kinds apart."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
