"""Warnings about a pair that loads and fits, but may not do any good.

Reads configs and checkpoint headers, and how much memory is free; loads no weights.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from equivcheck.pairs.locate import locate, read_config
from equivcheck.pairs.sources import ModelSource, PairSource
from equivcheck.pairs.weights import read_weights, weights_sha256

RATIO_LOW, RATIO_HIGH = 4.0, 10.0
CACHE_TOKENS = 8 * 1024
"""Positions of the key-value cache counted with the weights: a batch of 8 in a context of 1024."""


def pair_warnings(
    source: PairSource, *, dtype: torch.dtype, device: torch.device
) -> tuple[str, ...]:
    """What is doubtful about a pair, in whole sentences without a full stop.

    Raises:
        PairError: a model cannot be had.
    """
    notes = []
    if source.draft is not None:
        notes.extend(size_warnings(source.target, source.draft))
    models = [model for model in (source.target, source.draft) if model is not None]
    needed = sum(bytes_needed(model, dtype=dtype) for model in models)
    available = bytes_available(device)
    if available is not None and needed > available:
        notes.append(
            f"memory may not hold this pair: weights and key-value cache in "
            f"{str(dtype).removeprefix('torch.')} take {_gib(needed)}, {_gib(available)} are free "
            f"on {device}"
        )
    return tuple(notes)


def size_warnings(target: ModelSource, draft: ModelSource) -> list[str]:
    """Whether the draft repeats the target or has an unhelpful size."""
    folders = locate(target), locate(draft)
    ours, theirs = (read_weights(folder) for folder in folders)
    if weights_sha256(folders[0]) == weights_sha256(folders[1]):
        return ["the draft is the target itself: every draft is accepted and nothing is gained"]
    ratio = ours.parameters / max(1, theirs.parameters)
    if RATIO_LOW <= ratio <= RATIO_HIGH:
        return []
    effect = (
        "drafting costs nearly as much as it saves"
        if ratio < RATIO_LOW
        else "so small a draft is seldom right"
    )
    return [
        f"the target has {ratio:.1f} times the draft's parameters ({ours.parameters:,} to "
        f"{theirs.parameters:,}), outside {RATIO_LOW:g} to {RATIO_HIGH:g}: {effect}"
    ]


def bytes_needed(source: ModelSource, *, dtype: torch.dtype) -> int:
    """Weights in the run's dtype and a key-value cache of `CACHE_TOKENS` positions."""
    folder = locate(source)
    config = read_config(folder, source)
    heads = config.get("num_attention_heads") or 1
    head_dim = config.get("head_dim") or (config.get("hidden_size") or 0) // heads
    kv_heads = config.get("num_key_value_heads") or heads
    layers = config.get("num_hidden_layers") or 0
    cached = 2 * layers * kv_heads * head_dim * CACHE_TOKENS
    return int((read_weights(folder).parameters + cached) * dtype.itemsize)


def bytes_available(device: torch.device) -> int | None:
    """Free memory where the models would go; None: it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    table = Path("/proc/meminfo")
    if table.is_file():
        for line in table.read_text().splitlines():
            # MemAvailable counts what the page cache would give back; free pages alone do not.
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
