"""The project's matrix products against the library's, tile by tile, on a CUDA device.

    python -m benchmarks.products --out FILE

For each weight of two shapes and each number of token slots: microseconds and the share of the
copy bandwidth at which the weight was read, for the library's product and for the project's with
each choice of tiles. Weights take turns until they fill more than the L2 cache, and a CUDA graph
launches them, as in a decoding step.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import triton
from torch import Tensor
from triton.runtime.errors import OutOfResources

from equivcheck.bench.clocks import clock_of
from equivcheck.decoding.arithmetic.fused import TILE
from equivcheck.decoding.arithmetic.invariant import STAGES, blocks_for
from equivcheck.decoding.kernels.products import linear_kernel
from equivcheck.pairs.shapes import SHAPES, Shape

HEAD = 64
DISTINCT = 2**28
"""Bytes of different weights, at least, that take turns."""
REPLAYS = 5
SLOTS = (8, 128)


class Tiles(NamedTuple):
    """How the project's product is cut up."""

    columns: int
    inner: int
    stages: int
    warps: int


CANDIDATES = (
    Tiles(16, 128, 3, 4),
    Tiles(16, 256, 3, 4),
    Tiles(16, 256, 4, 2),
    Tiles(32, 128, 3, 4),
    Tiles(32, 128, 5, 2),
    Tiles(32, 256, 3, 4),
    Tiles(64, 128, 4, 4),
    Tiles(128, 64, 4, 8),
)


def weights_of(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Name, columns and inner size of each of a layer's weights."""
    yield "query_key_value", HEAD * (shape.heads + 2 * shape.kv_heads), shape.hidden
    yield "attention_out", shape.hidden, HEAD * shape.heads
    yield "gate_up", 2 * shape.intermediate, shape.hidden
    yield "down", shape.hidden, shape.intermediate


def own(inputs: Tensor, weight: Tensor, *, tiles: Tiles) -> Tensor:
    """The project's product in these tiles."""
    (rows, inner), columns = inputs.shape, weight.shape[0]
    outputs = inputs.new_empty((rows, columns))
    linear_kernel[triton.cdiv(rows, TILE), triton.cdiv(columns, tiles.columns)](
        inputs,
        weight,
        weight,
        outputs,
        rows,
        columns,
        inner,
        HAS_BIAS=False,
        TILE_ROWS=TILE,
        TILE_COLUMNS=tiles.columns,
        TILE_INNER=tiles.inner,
        num_stages=tiles.stages,
        num_warps=tiles.warps,
    )
    return outputs


def seconds(
    product: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weights: Sequence[Tensor]
) -> float:
    """Of one product, by the fastest replay of a graph that has one with each weight."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        product(inputs, weights[0])
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for weight in weights:
            product(inputs, weight)
    clock = clock_of(weights[0].device)
    times = [clock.time(graph.replay)[1].seconds for _ in range(1 + REPLAYS)]
    return min(times[1:]) / len(weights)


def chosen(*, columns: int, inner: int) -> Tiles:
    """What `--contract batch-invariant` takes."""
    blocks = blocks_for(columns=columns, inner=inner, itemsize=2)
    return Tiles(blocks.columns, blocks.inner, STAGES, 4)


@torch.inference_mode()
def measure(names: Sequence[str], device: torch.device) -> Iterator[dict[str, Any]]:
    """One record a product."""
    for name, slots in itertools.product(names, SLOTS):
        for weight_name, columns, inner in weights_of(SHAPES[name]):
            copies = -(-DISTINCT // (2 * columns * inner))
            size = (copies, columns, inner)
            weights = list(torch.randn(size, dtype=torch.bfloat16, device=device) / inner**0.5)
            inputs = torch.randn(slots, inner, dtype=torch.bfloat16, device=device)
            taken = chosen(columns=columns, inner=inner)
            arms: dict[Tiles | None, float] = {None: seconds(F.linear, inputs, weights)}
            for tiles in dict.fromkeys((taken, *CANDIDATES)):
                with contextlib.suppress(OutOfResources):
                    arms[tiles] = seconds(partial(own, tiles=tiles), inputs, weights)
            for who, took in arms.items():
                yield {
                    "shape": name,
                    "weight": weight_name,
                    "slots": slots,
                    "columns": columns,
                    "inner": inner,
                    "tiles": None if who is None else who._asdict(),
                    "taken": who == taken,
                    "seconds": took,
                    "bytes_per_second": 2 * columns * inner / took,
                }


def main() -> None:
    """Measure, write the records anew, print for each product who was fastest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.products")
    parser.add_argument("--shape", action="append", choices=SHAPES, default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    records = list(measure(arguments.shape or ("8b", "0.15b"), device))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    key = ("shape", "weight", "slots")
    for name, group in itertools.groupby(records, key=lambda each: tuple(each[k] for k in key)):
        found = list(group)
        best = min((each for each in found if each["tiles"]), key=lambda each: each["seconds"])
        taken = next(each for each in found if each["taken"])
        told = (
            f"{who} {1e6 * each['seconds']:.1f} us at {each['bytes_per_second'] / 1e9:,.0f} GB/s"
            for who, each in (("library", found[0]), ("taken", taken), ("best", best))
        )
        print(*name, "; ".join(told), best["tiles"])


if __name__ == "__main__":
    main()
