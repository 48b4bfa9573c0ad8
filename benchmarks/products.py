"""The project's matrix products against the library's, tile by tile, on a CUDA device.

    python -m benchmarks.products --out FILE

For each weight of two shapes and each number of token slots: microseconds and the rate at which
the weight was read, for the library's product and for the project's with each choice of tiles.
Weights take turns until they fill more than the L2 cache, and a CUDA graph launches them, as in a
decoding step. Results with equal bits in the first rows, at any number of slots, say so.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from triton.runtime.errors import OutOfResources

from equivcheck.bench.clocks import clock_of
from equivcheck.decoding.backends.products import FEWEST, NARROW, WIDE, Tiles, product
from equivcheck.pairs.shapes import SHAPES, Shape

HEAD = 64
DISTINCT = 2**28
"""Bytes of different weights, at least, that take turns."""
REPLAYS = 5
FEW, MANY = 8, 128
CANDIDATES = {
    FEW: (
        FEWEST,
        Tiles(16, 16, 256, 5, 2),
        Tiles(16, 16, 512, 3, 2),
        Tiles(16, 16, 512, 3, 4),
        Tiles(16, 32, 256, 3, 2),
        Tiles(16, 64, 128, 4, 4, swapped=True),
    ),
    MANY: (
        WIDE,
        NARROW,
        Tiles(128, 64, 128, 3, 4),
        Tiles(128, 64, 64, 4, 4, swapped=True),
        Tiles(128, 64, 128, 3, 4, swapped=True),
        Tiles(128, 128, 64, 4, 8, swapped=True),
    ),
}


class Weight(NamedTuple):
    """One of a layer's weights."""

    name: str
    columns: int
    inner: int


def weights_of(shape: Shape) -> Iterator[Weight]:
    """Those of a layer."""
    heads = shape.heads + 2 * shape.kv_heads
    yield Weight("query_key_value", columns=HEAD * heads, inner=shape.hidden)
    yield Weight("attention_out", columns=shape.hidden, inner=HEAD * shape.heads)
    yield Weight("gate_up", columns=2 * shape.intermediate, inner=shape.hidden)
    yield Weight("down", columns=shape.hidden, inner=shape.intermediate)


def seconds(
    multiply: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weights: Sequence[Tensor]
) -> float:
    """Of one product, by the fastest replay of a graph that has one with each weight."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for weight in weights:
            multiply(inputs, weight)
    clock = clock_of(inputs.device)
    times = [clock.time(graph.replay)[1].seconds for _ in range(1 + REPLAYS)]
    return min(times[1:]) / len(weights)


def fingerprint(rows: Tensor) -> str:
    """Equal for equal bits."""
    return hashlib.sha256(rows.cpu().view(torch.int16).numpy().tobytes()).hexdigest()[:12]


@torch.inference_mode()
def measure(names: Sequence[str], device: torch.device) -> Iterator[dict[str, Any]]:
    """One record a product."""
    for shape, weight in ((each, found) for each in names for found in weights_of(SHAPES[each])):
        torch.manual_seed(0)
        size = (-(-DISTINCT // (2 * weight.columns * weight.inner)), weight.columns, weight.inner)
        weights = list(torch.randn(size, dtype=torch.bfloat16, device=device) / weight.inner**0.5)
        rows = torch.randn(MANY, weight.inner, dtype=torch.bfloat16, device=device)
        for slots, candidates in CANDIDATES.items():
            inputs = rows[:slots].clone()
            for tiles in (None, *candidates):
                multiply = F.linear if tiles is None else partial(product, bias=None, tiles=tiles)
                with contextlib.suppress(OutOfResources):
                    found = multiply(inputs, weights[0])[:FEW]
                    took = seconds(multiply, inputs, weights)
                    yield {
                        "shape": shape,
                        **weight._asdict(),
                        "slots": slots,
                        "tiles": None if tiles is None else tiles._asdict(),
                        "seconds": took,
                        "bytes_per_second": 2 * weight.columns * weight.inner / took,
                        "bits": fingerprint(found),
                    }


def table(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line a product: who took how many microseconds, and behind it a number for its bits."""
    for (shape, name), of_weight in itertools.groupby(records, key=itemgetter("shape", "name")):
        arms = list(of_weight)
        bits = list(dict.fromkeys(each["bits"] for each in arms))
        for slots, group in itertools.groupby(arms, key=itemgetter("slots")):
            told = (
                f"{named(each['tiles'])} {1e6 * each['seconds']:.1f} ({bits.index(each['bits'])})"
                for each in group
            )
            yield f"{shape} {name} {slots}: " + ", ".join(told)


def named(tiles: dict[str, Any] | None) -> str:
    """A short name."""
    return "library" if tiles is None else "x".join(str(int(size)) for size in tiles.values())


def main() -> None:
    """Measure, write the records anew, print microseconds and which bits are equal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.products")
    parser.add_argument("--shape", action="append", choices=SHAPES, default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    records = list(measure(arguments.shape or ("8b", "0.15b"), torch.device("cuda")))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    print("\n".join(table(records)))


if __name__ == "__main__":
    main()
