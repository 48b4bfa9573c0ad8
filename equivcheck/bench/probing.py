"""What is found out about an arm beside its timed requests: memory, drafting alone, bandwidth.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from equivcheck.bench.clocks import Clock
from equivcheck.core.engine import Engine
from equivcheck.core.errors import PairError
from equivcheck.core.generation import Request
from equivcheck.decoding.architecture import describe
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Drafter
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.weights import Weights
from equivcheck.engines.isolation.engine import IsolatedEngine
from equivcheck.engines.native import NativeEngine
from equivcheck.metrics.records import Bandwidth, Memory

COPY_BYTES = {"cuda": 2**30, "cpu": 2**28}
"""An H100 copies 256 MiB at 2.6 to 2.9 TB/s, from one moment to the next, and 1 GiB at 3.0."""
FREE_SHARE = 4
"""One byte in so many of the free memory, at most."""
COPIES = 7
PROPOSALS = 15
STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")


class Working(NamedTuple):
    """How far memory rose."""

    bytes: int
    measured_by: Literal["device allocator", "peak RSS"]


def measure_memory(engine: Engine, call: Callable[[], object], *, device: torch.device) -> Memory:
    """What an arm holds, and what it takes on top while `call` has it answer.

    Of an engine in another process nothing is known but that process's size, on a CPU.
    """
    if isinstance(engine, IsolatedEngine):
        call()
        if device.type != "cpu":
            return Memory()
        return Memory(process=engine.peak_bytes, measured_by="peak RSS of its process")
    working = working_memory(call, device=device)
    held = _held(engine)
    return Memory(
        target=held.get("target"),
        draft=held.get("draft"),
        kv=held.get("kv"),
        working=working.bytes if working else None,
        measured_by=working.measured_by if working else None,
    )


def working_memory(call: Callable[[], object], *, device: torch.device) -> Working | None:
    """Rise of the peak above the resting level; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        resting = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return Working(torch.cuda.max_memory_allocated(device) - resting, "device allocator")
    try:
        # Linux: 5 lowers the recorded peak to what is resident now.
        RESET_PEAK.write_text("5", encoding="ascii")
        resting = _status("VmRSS")
        call()
        return Working(max(0, _status("VmHWM") - resting), "peak RSS")
    except OSError:
        call()
        return None


def draft_token_seconds(
    engine: Engine, requests: Sequence[Request], *, clock: Clock
) -> float | None:
    """Seconds of one draft token, from proposing alone in a seated batch; median.

    None where there is no such time: of two drafters in turn each has its own, and no step says
    whose drafts it verified; others look up between steps.
    """
    if not isinstance(engine, NativeEngine):
        return None
    drafter = engine.decoder.drafter
    if drafter is None or drafter.waits:
        return None
    decoder, gamma = engine.decoder, engine.options.gamma
    with torch.inference_mode():
        decoder.clear()
        decoder.fill(deque(requests))
        decoder.rows.reach = decoder.reach()
        try:
            spent = [_propose(decoder, gamma=gamma, clock=clock) for _ in range(PROPOSALS)]
        finally:
            decoder.clear()
    return statistics.median(spent[PROPOSALS // 3 :]) / gamma


def _propose(decoder: Decoder, *, gamma: int, clock: Clock) -> float:
    key = ("propose alone", gamma, decoder.rows.controls.features, decoder.rows.reach)

    def propose() -> Tensor | None:
        return decoder.runner.run(key, lambda: decoder.propose(gamma=gamma, unread=2).tokens)

    return clock.time(propose)[1].seconds


class StepReads(NamedTuple):
    """Bytes that a step of the target reads; None: the engine's tensors cannot be seen."""

    step: int | None = None
    """Weights, and the cache as far as the last step attended to it."""
    weights: int | None = None
    """Without the embedding, of which single rows are read, unless the head is the same tensor."""
    position: int | None = None
    """Keys and values of one position of one row."""


def step_reads(engine: Engine) -> StepReads:
    """What a step reads, from the tensors themselves."""
    if isinstance(engine, NativeEngine):
        held, cache = engine.model.weights, engine.decoder.cache
        unread = 0 if _same(held.embedding, held.head) else held.embedding.nbytes
        weights, cached = _bytes(_tensors(held)) - unread, _bytes(_tensors(cache))
        if (dtype := engine.model.backend.head_dtype) is not None:
            weights += held.head.numel() * dtype.itemsize - held.head.nbytes
        rows, reach = engine.decoder.rows.tokens.shape[0], engine.decoder.rows.reach
        position = cached // (rows * cache.positions)
        return StepReads(weights + position * rows * reach, weights, position)
    target = getattr(engine, "target", None)
    return _library_reads(target) if isinstance(target, PreTrainedModel) else StepReads()


def _library_reads(model: Any) -> StepReads:
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    weights = _bytes(model.parameters()) - (0 if _same(inputs, outputs) else inputs.nbytes)
    try:
        shape = describe(model.config)
    except PairError:
        return StepReads(weights=weights)
    width = shape.layers * shape.kv_heads * shape.head_dim
    return StepReads(weights=weights, position=2 * width * inputs.element_size())


def copy_bandwidth(
    device: torch.device, *, clock: Clock, size: int | None = None, copies: int = COPIES
) -> Bandwidth:
    """Median of several copies between two buffers of `size` bytes; bytes read plus written.

    Without a size, one that the device does not take for a moment's work.
    """
    size = size or copy_bytes(device)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    # The first copy touches fresh pages.
    copy.copy_(source)
    spent = statistics.median(
        clock.time(lambda: copy.copy_(source))[1].seconds for _ in range(copies)
    )
    return Bandwidth(bytes_per_second=2 * size / spent, buffer_bytes=size)


def copy_bytes(device: torch.device) -> int:
    """Size of the buffers: large, but no more than fits."""
    wanted = COPY_BYTES[device.type]
    if device.type != "cuda":
        return wanted
    free, _ = torch.cuda.mem_get_info(device)
    return min(wanted, free // FREE_SHARE)


def _held(engine: Engine) -> dict[str, int]:
    """Bytes by part, where the engine is one of those whose tensors can be seen."""
    if isinstance(engine, NativeEngine):
        decoder = engine.decoder
        drafter = _innermost(decoder.drafter) or Drafter()
        target = _weight_bytes(engine.model)
        return {
            "target": target,
            # A head runs on the target's own embedding.
            "draft": _weight_bytes(engine.model, *drafter.models) - target,
            "kv": _bytes(
                each for cache in (decoder.cache, *drafter.caches) for each in cache.buffers
            ),
        }
    models: dict[str, Any] = {"target": getattr(engine, "target", None)}
    if not isinstance(models["target"], torch.nn.Module):
        return {}
    draft = getattr(engine, "draft", None)
    return {
        "target": _bytes(models["target"].state_dict().values()),
        "draft": _bytes(draft.state_dict().values()) if isinstance(draft, torch.nn.Module) else 0,
    }


def _innermost(drafter: Drafter | None) -> Drafter | None:
    """The drafter that another one wraps, if it does."""
    return getattr(drafter, "drafter", drafter)


def _weight_bytes(*models: StaticModel) -> int:
    """Weights, with the copies that their arithmetic has made of them; shared ones count once."""
    found, copied = {}, {}
    for model in models:
        for tensor in _tensors(model.weights):
            found[id(tensor)] = tensor
            copied[id(tensor)] = model.backend.copied_bytes(tensor)
    return _bytes(found.values()) + sum(copied.values())


def _tensors(holder: Weights | Any) -> Iterator[Tensor]:
    if isinstance(holder, Tensor):
        yield holder
    elif isinstance(holder, tuple | list):
        for each in holder:
            yield from _tensors(each)
    elif dataclasses.is_dataclass(holder) and not isinstance(holder, type):
        for field in dataclasses.fields(holder):
            yield from _tensors(getattr(holder, field.name))


def _bytes(tensors: Iterator[Tensor] | Any) -> int:
    """Shared storage counts once."""
    return sum({tensor.data_ptr(): int(tensor.nbytes) for tensor in tensors}.values())


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr()


def _status(name: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {name}")
