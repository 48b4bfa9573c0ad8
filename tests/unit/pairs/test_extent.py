"""How far a model was made to read stands in its configuration, under one of several names."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import (
    BloomConfig,
    Gemma3Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from equivcheck.pairs.extent import Extent, extent_of

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LlamaConfig(max_position_embeddings=512), Extent(positions=512)),
        (GPT2Config(n_positions=300), Extent(positions=300)),
        (BloomConfig(), Extent()),
        (
            MistralConfig(max_position_embeddings=900, sliding_window=64),
            Extent(positions=900, window=64),
        ),
        (MistralConfig(max_position_embeddings=900, sliding_window=None), Extent(positions=900)),
        (Qwen2Config(max_position_embeddings=700, sliding_window=64), Extent(positions=700)),
        (
            Qwen2Config(
                max_position_embeddings=700,
                use_sliding_window=True,
                sliding_window=64,
                max_window_layers=1,
                num_hidden_layers=2,
            ),
            Extent(positions=700, window=64),
        ),
        (
            Gemma3Config(text_config={"max_position_embeddings": 800, "sliding_window": 32}),
            Extent(positions=800, window=32),
        ),
    ],
    ids=[
        "rotary",
        "learned",
        "none",
        "windowed",
        "window switched off",
        "window not used",
        "window of some layers",
        "text of several kinds",
    ],
)
def test_limits_and_windows_are_read(config: Any, expected: Extent) -> None:
    assert extent_of(config) == expected


def test_scaled_rotary_embeddings_reach_further_than_their_original_limit() -> None:
    """Some keep the limit of before in their configuration, and are served beyond it."""
    config = Qwen2Config(
        max_position_embeddings=32_768, rope_parameters={**YARN, "rope_theta": 1e6}
    )
    assert extent_of(config).positions == 131_072
