"""Operations over whole distributions, faster on a CPU than their obvious form and equal to it.

On a CPU torch's exponential slows down sixtyfold where it underflows, and its masks, choices and
searches are not vectorised; numpy's comparisons and sorts are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

UNDERFLOW = -87.0
"""Logarithm under which an exponential counts as zero: nearly the least of fp32."""
LEAST = 2e-38
"""A little more than its exponential."""


def exponential(logs: Tensor) -> Tensor:
    """``exp(logs)``, and zero below `UNDERFLOW`."""
    return torch.nn.functional.threshold(logs.clamp(min=UNDERFLOW).exp_(), LEAST, 0.0)


def sum_exp(logs: Tensor) -> Tensor:
    """Sum of exponentials over the last axis, fp64; what underflows counts as next to nothing."""
    return logs.clamp(min=UNDERFLOW).exp_().sum(dim=-1).double()


def above(values: Tensor, limit: Tensor) -> Tensor:
    """1 where a value is larger than its row's limit [rows, 1], else 0, in the values' dtype."""
    return torch.gt(values, limit, out=torch.empty_like(values))


def equal(values: Tensor, limit: Tensor) -> Tensor:
    """1 where a value is its row's limit [rows, 1], else 0."""
    return torch.eq(values, limit, out=torch.empty_like(values))


def at_least(values: Tensor, limit: Tensor) -> Tensor:
    """1 where a value is its row's limit [rows, 1] or larger, else 0."""
    return torch.ge(values, limit, out=torch.empty_like(values))


def bin_of(values: Tensor, edges: Sequence[float]) -> Tensor:
    """Which bin each value lies in, uint8; a value on an edge lies in the bin above it."""
    if values.device.type != "cpu":
        borders = torch.tensor(edges, dtype=values.dtype, device=values.device)
        return torch.bucketize(values, borders, right=True).to(torch.uint8)
    array = values.numpy()
    bins = np.zeros(array.shape, np.uint8)
    for edge in edges:
        bins += (array >= array.dtype.type(edge)).view(np.uint8)
    return torch.from_numpy(bins)


def falling(values: Tensor) -> Tensor:
    """Each row sorted, largest first."""
    if values.device.type != "cpu":
        return values.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1)).flip(-1)
