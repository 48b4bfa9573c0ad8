"""Whether memory will hold a pair: weights and key-value cache against what is free."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from equivcheck.pairs.locate import locate, read_config
from equivcheck.pairs.shapes import shape_named, widened_config
from equivcheck.pairs.sources import ModelSource, PairSource
from equivcheck.pairs.suitability import parameters_of

CACHE_TOKENS = 8 * 1024
"""Positions of the key-value cache counted with the weights: a batch of 8 in a context of 1024."""


def memory_warnings(
    source: PairSource, *, dtype: torch.dtype, device: torch.device
) -> tuple[str, ...]:
    """Say so if target and draft need more than is free.

    Raises:
        PairError: a model cannot be had.
    """
    models = [model for model in (source.target, source.draft) if model is not None]
    needed = sum(bytes_needed(model, dtype=dtype) for model in models)
    available = bytes_available(device)
    if available is None or needed <= available:
        return ()
    return (
        f"memory may not hold this pair: weights and key-value cache in "
        f"{str(dtype).removeprefix('torch.')} take {_gib(needed)}, {_gib(available)} are free "
        f"on {device}",
    )


def bytes_needed(source: ModelSource, *, dtype: torch.dtype) -> int:
    """Weights in the run's dtype and a key-value cache of `CACHE_TOKENS` positions."""
    folder = locate(source)
    config = read_config(folder, source)
    if source.shape is not None:
        config = widened_config(config, shape_named(source.shape))
    heads = config.get("num_attention_heads") or 1
    head_dim = config.get("head_dim") or (config.get("hidden_size") or 0) // heads
    kv_heads = config.get("num_key_value_heads") or heads
    layers = config.get("num_hidden_layers") or 0
    cached = 2 * layers * kv_heads * head_dim * CACHE_TOKENS
    return int((parameters_of(source) + cached) * dtype.itemsize)


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
