"""How far models were made to read: their most positions and their sliding windows, by config."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
"""What configurations call it; of one that says several of them, the first counts."""


class Extent(Struct, frozen=True, kw_only=True):
    """Limits of one model, in tokens."""

    positions: int | None = None
    """Most positions of a sequence; None: its configuration names no limit."""
    window: int | None = None
    """Tokens that a layer attends to at most; None: each attends to everything."""


def extent_of(config: Any) -> Extent:
    """Read a transformers configuration."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    told = (getattr(text, name, None) for name in POSITIONS)
    positions = next((each for each in told if isinstance(each, int) and each > 0), None)
    if positions is not None:
        positions = max(positions, stretched(text))
    return Extent(positions=positions, window=window_of(text))


def stretched(config: Any) -> int:
    """Positions that scaled rotary embeddings reach; 0: they are not scaled.

    Some configurations keep the length before scaling as their limit.
    """
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not isinstance(rope, dict):
        return 0
    original, factor = rope.get("original_max_position_embeddings"), rope.get("factor")
    if isinstance(original, int | float) and isinstance(factor, int | float):
        return int(original * factor)
    return 0


def window_of(config: Any) -> int | None:
    """The sliding window, where some layer has one."""
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or getattr(config, "use_sliding_window", True) is False:
        return None
    kinds = getattr(config, "layer_types", None)
    return window if kinds is None or "sliding_attention" in kinds else None
