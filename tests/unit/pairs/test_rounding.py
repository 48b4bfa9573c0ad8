"""A rounded model is the model with coarser weights, the nearer to it, the more bits it keeps."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.pairs.load import LoadedPair, load_pair
from equivcheck.pairs.rounding import round_weights, rounded_rows
from equivcheck.pairs.suitability import REPEATED, size_warnings

COARSE = "tiny+tiny:3bit"


def load(spec: str, *, dtype: torch.dtype = torch.float32) -> LoadedPair:
    return load_pair(spec, dtype=dtype, device="cpu")


@torch.inference_mode()
def distribution(model: Any) -> torch.Tensor:
    tokens = torch.arange(100, 228)[None]
    out: torch.Tensor = model(tokens).logits[0].softmax(dim=-1)
    return out


@given(st.integers(2, 8), st.integers(0, 2**31))
def test_a_row_takes_few_evenly_spaced_values(bits: int, seed: int) -> None:
    weight = torch.randn(5, 700, generator=torch.Generator().manual_seed(seed))
    weight[2] = 0.0
    weight[3] *= 1e4
    rounded = rounded_rows(weight, bits=bits)
    for exact, row in zip(weight, rounded, strict=True):
        step = exact.abs().max() / (2 ** (bits - 1) - 0.5)
        assert len(row.unique()) <= 2**bits - 1
        assert float((exact - row).abs().max()) <= float(step) * 0.5001
        assert torch.equal(torch.sign(row) * torch.sign(exact), torch.sign(row).abs())


def test_more_bits_are_closer() -> None:
    target: Any = load("tiny").target
    distributions = [distribution(round_weights(target, bits=bits)) for bits in (2, 3, 4, 8)]
    distances = [
        float((each - distribution(target)).abs().sum(dim=-1).mean()) / 2 for each in distributions
    ]
    assert distances == sorted(distances, reverse=True)
    assert 0 < distances[-1] < 0.05 < distances[0] < 1


def test_only_the_blocks_of_a_copy_are_rounded() -> None:
    pair = load(COARSE, dtype=torch.bfloat16)
    target: Any = pair.target
    draft: Any = pair.draft
    for name, exact in target.state_dict().items():
        rounded = draft.state_dict()[name]
        assert rounded.dtype is torch.bfloat16
        assert torch.equal(exact, rounded) == ("_proj" not in name), name
    assert target.model.layers[0].mlp.up_proj.weight[0].unique().numel() > 7
    assert draft.model.layers[0].mlp.up_proj.weight[0].unique().numel() <= 7


def test_it_is_not_the_target_itself() -> None:
    pair = load(COARSE)
    assert pair.source.draft is not None
    assert REPEATED not in pair.warnings
    (said,) = size_warnings(pair.source.target, pair.source.draft)
    assert "1.0 times the draft's parameters" in said
    assert pair.digests["draft"].startswith("tiny/target rounded to 3 bits sha256:")
    assert REPEATED in load("tiny+tiny").warnings


def test_it_keeps_its_distribution_at_another_size() -> None:
    wide, narrow = load(f"{COARSE}@15m").draft, load(COARSE).draft
    assert torch.allclose(distribution(wide), distribution(narrow), atol=1e-3)
