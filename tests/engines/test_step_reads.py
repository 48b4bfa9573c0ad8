"""The bytes under the bandwidth floor are those of the tensors that a step reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.bench.probing import step_reads
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.kernels.library import missing_for_compiled
from equivcheck.engines.registry import load_engine


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_blocks_and_head_are_read_and_the_embedding_is_not(
    dtype: str, size: int, setup: EngineSetup
) -> None:
    given: Any = {"dtype": dtype, "batch_size": 2}
    there = msgspec.structs.replace(setup, **given)
    native: Any = load_engine("native:gamma=0", there)
    library: Any = load_engine("transformers:mode=plain", there)
    head = library.target.get_output_embeddings().weight.numel()
    blocks = sum(tensor.numel() for tensor in library.target.model.parameters())
    blocks -= library.target.get_input_embeddings().weight.numel()
    config = library.target.config
    head_dim = config.hidden_size // config.num_attention_heads
    position = 2 * config.num_hidden_layers * config.num_key_value_heads * head_dim * size
    assert step_reads(library) == (None, size * (blocks + head), position)
    found = step_reads(native)
    # Rotary frequencies come on top, and torch's products take the head in fp32.
    missing = missing_for_compiled(native.model.dtype)
    assert found.weights == size * blocks + (4 if missing else size) * head + 4 * head_dim // 2
    assert found.position == position
    cache = native.decoder.cache
    assert found.step == found.weights + 2 * cache.positions * position


def test_an_engine_of_somebody_else_tells_nothing() -> None:
    class Other:
        target = "a name"

    other: Any = Other()
    assert step_reads(other) == (None, None, None)
