"""How far attention has to reach: lengths at which it may stop without a bit changing.

A step that attends to the first 256 of 1,088 positions takes less time, but a matrix library may
cut the sum over 256 keys into other pieces than one over 1,088, zeros or not. So a length is used
where it was found to leave all bits as they are, and passed over elsewhere. Where all are kept, or
few, rows of any length may share a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from equivcheck.decoding.backends.interface import KeyValues
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.probes import Probe

SHORTEST = 128
NUMBERS = 2**17
"""Compared at each reach, at least. Rounding to bf16 hides most differences in the last bit of an
fp32 sum: about one number in ten thousand shows one."""
PROBED_AGAIN = 2**13


def reaches(positions: int) -> tuple[int, ...]:
    """Lengths that attention over a cache of `positions` might stop at, ascending, itself the last.

    128, 192, 256, 384, 512, and so on: at most half more than needed, and few enough for a graph
    of each that comes up.
    """
    found, reach = [], SHORTEST
    while reach < positions:
        found += [each for each in (reach, reach + reach // 2) if each < positions]
        reach *= 2
    return (*found, positions)


@torch.inference_mode()
def sound_reaches(model: StaticModel, *, rows: int, width: int) -> tuple[int, ...]:
    """The reaches at which a step's attention has the bits of attention over the whole cache."""
    *shorter, whole = reaches(model.reaches[-1])
    return (
        *(
            reach
            for reach in shorter
            if not any(differs for differs, _ in compared(model, reach, rows=rows, width=width))
        ),
        whole,
    )


@torch.inference_mode()
def probe_reach(model: StaticModel, *, rows: int, width: int) -> Probe:
    """Whether a model's reaches leave all bits as they are, on other numbers than they were found.

    Nothing else of a step knows how long the cache is.
    """
    differing = counted = 0
    for reach in model.reaches[:-1]:
        for differs, slots in compared(
            model, reach, rows=rows, width=width, numbers=PROBED_AGAIN, seed=1
        ):
            differing += differs
            counted += slots
    return Probe(
        name="reach",
        shape=f"{rows}x{width} queries over {', '.join(map(str, model.reaches))} positions",
        differing=differing,
        compared=counted,
    )


def compared(
    model: StaticModel,
    reach: int,
    *,
    rows: int,
    width: int,
    numbers: int = NUMBERS,
    seed: int = 0,
) -> Iterator[tuple[int, int]]:
    """Hold attention up to `reach` against attention to the whole cache, round by round.

    The last window before the reach is asked, whose sums run over all of it.

    Yields:
        Token slots with a differing bit, and token slots compared.
    """
    shape, whole = model.architecture, model.reaches[-1]
    generator = torch.Generator().manual_seed(seed)

    def noise(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator).to(model.device, model.dtype)

    keys, values = (noise(rows, whole, shape.kv_heads, shape.head_dim) for _ in range(2))
    positions = torch.arange(reach - width, reach, device=model.device).expand(rows, -1)
    for _ in range(math.ceil(numbers / (rows * width * shape.heads * shape.head_dim))):
        query = noise(rows, width, shape.heads, shape.head_dim)
        for window in model.windows:
            near, far = (
                model.backend.attend(
                    query,
                    KeyValues(keys[:, :length], values[:, :length]),
                    model.visible(positions, window, reach=length),
                )
                for length in (reach, whole)
            )
            yield int((near != far).any(dim=-1).sum()), rows * width
