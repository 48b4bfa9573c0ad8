"""A widened model costs what its shape costs and computes what the small one computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from equivcheck.core.errors import PairError
from equivcheck.pairs.load import load_pair
from equivcheck.pairs.memory import bytes_needed
from equivcheck.pairs.shapes import SHAPES, Shape
from equivcheck.pairs.sources import resolve
from equivcheck.pairs.suitability import parameters_of, size_warnings
from equivcheck.pairs.widening import widen
from tests.small_models import small_llama

WIDE = Shape(hidden=256, layers=4, heads=16, kv_heads=4, intermediate=320)


def small(*, tied: bool = False, bias: bool = False) -> PreTrainedModel:
    model: PreTrainedModel = small_llama(
        seed=1,
        vocab_size=90,
        intermediate_size=96,
        head_dim=16,
        tie_word_embeddings=tied,
        attention_bias=bias,
    )
    return model


@torch.inference_mode()
def logits(model: PreTrainedModel) -> torch.Tensor:
    tokens = torch.arange(1, 41)[None] % 90
    out: torch.Tensor = model(tokens).logits
    return out


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_distribution_stays(tied: bool, dtype: torch.dtype) -> None:
    narrow: Any = small(tied=tied)
    model = narrow.to(dtype)
    wide = widen(model, WIDE)
    distributions = [logits(each).float().softmax(dim=-1) for each in (model, wide)]
    distance = (distributions[0] - distributions[1]).abs().sum(dim=-1).mean() / 2
    assert float(distance) < (1e-5 if dtype is torch.float32 else 0.05)
    assert wide.dtype is dtype


def test_what_is_added_is_not_zeros() -> None:
    wide: Any = widen(small(), WIDE)
    block = wide.model.layers[3]
    assert not block.self_attn.o_proj.weight.any()
    assert not block.mlp.down_proj.weight.any()
    for weight in (block.self_attn.q_proj.weight, block.mlp.gate_proj.weight):
        assert float((weight == 0).float().mean()) < 0.01


def test_widening_is_the_same_every_time() -> None:
    one, other = widen(small(), WIDE), widen(small(), WIDE)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (Shape(hidden=32, layers=4, heads=16, kv_heads=4, intermediate=320), "hidden 64, not 32"),
        (Shape(hidden=256, layers=1, heads=16, kv_heads=4, intermediate=320), "layers 2, not 1"),
        (Shape(hidden=256, layers=4, heads=4, kv_heads=4, intermediate=320), "heads per kv head 2"),
    ],
)
def test_a_model_is_never_made_smaller(shape: Shape, said: str) -> None:
    with pytest.raises(PairError, match=said):
        widen(small(), shape)


def test_only_models_that_stay_the_same_are_widened() -> None:
    with pytest.raises(PairError, match="without biases"):
        widen(small(bias=True), WIDE)


def test_a_pair_is_widened_by_name() -> None:
    source = resolve("tiny@0.4b+15m")
    assert source.draft is not None
    assert (source.target.shape, source.draft.shape) == ("0.4b", "15m")
    assert source.target.label == "tiny/target widened to 0.4b"
    assert resolve("tiny@15m").draft == resolve("tiny").draft
    assert parameters_of(source.target) == SHAPES["0.4b"].parameters()
    assert bytes_needed(source.target, dtype=torch.bfloat16) > 2 * parameters_of(source.target)
    assert size_warnings(source.target, source.draft) == ()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tiny@15m+tiny@15m", "the draft is the target itself"),
        ("tiny+tiny@15m", "the target has 0.3 times the draft's parameters"),
        ("tiny@8b+0.15b", None),
    ],
)
def test_a_draft_that_cannot_pay_is_told_at_any_size(spec: str, said: str | None) -> None:
    source = resolve(spec)
    assert source.draft is not None
    warnings = size_warnings(source.target, source.draft)
    assert any(said in each for each in warnings) if said else not warnings


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tiny@9b", "no shape named '9b'; known: .*8b"),
        ("tiny@8b+", "lacks a shape: write NAME@SHAPE"),
        ("smollm2@8b+1b", "no draft model to widen"),
    ],
)
def test_a_wrong_shape_is_one_clear_error(spec: str, said: str) -> None:
    with pytest.raises(PairError, match=said):
        resolve(spec)


def test_the_bundled_pair_keeps_its_distribution_at_another_size() -> None:
    pair = load_pair("tiny@15m+15m", dtype=torch.float32, device="cpu")
    narrow = load_pair("tiny", dtype=torch.float32, device="cpu")
    assert pair.draft is not None
    assert narrow.draft is not None
    for wide, thin in ((pair.target, narrow.target), (pair.draft, narrow.draft)):
        assert torch.allclose(logits(wide), logits(thin), atol=1e-3)
    assert "widened to 15m" in pair.digests["draft"]
