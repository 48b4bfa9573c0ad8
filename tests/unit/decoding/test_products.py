"""The project's own matrix product: which tiles it takes, and what it computes in each kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="needs triton")

from benchmarks.products import table
from equivcheck.decoding.backends import fused
from equivcheck.decoding.backends.fused import FusedBackend
from equivcheck.decoding.backends.products import (
    DEEP,
    FEW,
    FEWEST,
    LARGE_MEMORY,
    MANY_COLUMNS,
    NARROW,
    TALL,
    WIDE,
    Tiles,
    product,
    tiles_for,
)

interpreted = pytest.mark.skipif(
    torch.cuda.is_available(), reason="tests/gpu runs the compiled kernels"
)


def noise(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize(
    ("rows", "columns", "memory", "tiles"),
    [
        (1, 64, 0, DEEP),
        (FEW, 512, 0, DEEP),
        (FEW, 513, 0, FEWEST),
        (FEW, 4 * 512, 0, TALL),
        (FEW + 1, MANY_COLUMNS, 0, WIDE),
        (FEW + 1, MANY_COLUMNS - 1, LARGE_MEMORY, NARROW),
        (256, 64, LARGE_MEMORY - 1, NARROW._replace(stages=2)),
    ],
)
def test_tiles_follow_the_sizes_in_16_bits(
    rows: int, columns: int, memory: int, tiles: Tiles
) -> None:
    found = tiles_for(rows=rows, columns=columns, inner=512, itemsize=2, memory=memory)
    assert found == tiles


def test_tiles_in_32_bits_do_not_depend_on_the_rows() -> None:
    sizes = [
        tiles_for(rows=rows, columns=800, inner=512, itemsize=4, memory=LARGE_MEMORY)
        for rows in (1, FEW, 300)
    ]
    assert len(set(sizes)) == 1


@interpreted
@pytest.mark.parametrize("tiles", [FEWEST, DEEP, TALL, WIDE, NARROW])
@pytest.mark.parametrize("biased", [False, True])
def test_every_kind_of_tile_computes_the_product(tiles: Tiles, biased: bool) -> None:
    """Sizes that are no multiple of any tile."""
    inputs, weight = noise(2, 75, 300, dtype=torch.float16), noise(70, 300, dtype=torch.float16)
    bias = noise(70, dtype=torch.float16, seed=1) if biased else None
    weight = weight / 300**0.5
    expected = torch.nn.functional.linear(inputs, weight, bias)
    torch.testing.assert_close(
        product(inputs, weight, bias, tiles=tiles), expected, atol=4e-3, rtol=1e-2
    )


@interpreted
def test_few_rows_in_16_bits_are_the_projects_own(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[int] = []

    def counted(inputs: Tensor, *rest: Any, **options: Any) -> Tensor:
        launched.append(inputs.shape[0] * inputs.shape[1])
        return product(inputs, *rest, **options)

    monkeypatch.setattr(fused, "product", counted)
    for dtype in (torch.float16, torch.float32):
        for rows in (1, 2, 3):
            inputs, weight = noise(rows, 8, 64, dtype=dtype), noise(32, 64, dtype=dtype)
            FusedBackend().linear(inputs, weight)
    assert launched == [8, 16]


def test_the_table_says_who_has_the_same_bits() -> None:
    def record(shape: str, slots: int, tiles: Tiles | None, bits: str) -> dict[str, Any]:
        return {
            "shape": shape,
            "name": "down",
            "slots": slots,
            "tiles": None if tiles is None else tiles._asdict(),
            "seconds": 2e-6,
            "bits": bits,
        }

    records = [
        record("8b", 8, None, "a"),
        record("8b", 8, FEWEST, "b"),
        record("8b", 128, None, "c"),
        record("8b", 128, NARROW, "b"),
        record("1b", 8, None, "b"),
    ]
    assert list(table(records)) == [
        "8b down 8: library 2.0 (0), 16x16x256x4x2x0 2.0 (1)",
        "8b down 128: library 2.0 (2), 64x64x128x4x4x1 2.0 (1)",
        "1b down 8: library 2.0 (0)",
    ]
