"""Static models and what was probed of them, shared by all native engines of a process.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import functools

import torch
from transformers import PreTrainedModel

from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.choose import Kernels, fastest_products
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.contract import ContractReport, probe_contract
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.reaching import reaches, sound_reaches
from equivcheck.engines.timing import step_seconds

CONTRACT_TOKENS = 16
"""Positions probed when an engine opens at a new shape; `equivcheck doctor` probes more."""
ADOPTED_KEPT = 8
"""Entries of every cache here: what was found out about a model keeps it alive, weights and all."""


@functools.lru_cache(maxsize=ADOPTED_KEPT)
def adopted(
    model: PreTrainedModel,
    positions: int,
    backend: Backend,
    *,
    reaches: tuple[int, ...] = (),
) -> StaticModel:
    """A static model, shared by all engines of a process: its weights are the larger part."""
    return adopt(model, positions=positions, backend=backend, reaches=reaches)


def adopted_freely(model: PreTrainedModel, positions: int, *, kernels: Kernels) -> StaticModel:
    """A model of which no contract is asked: attention may stop anywhere."""
    products = fastest_products(model.device, dtype=model.dtype, kernels=kernels)
    return adopted(model, positions, products, reaches=reaches(positions))


@functools.lru_cache(maxsize=ADOPTED_KEPT)
def found_reaches(model: StaticModel, *, rows: int, width: int, threads: int) -> tuple[int, ...]:
    """Reaches that hold at a shape, found once a process; `threads` is part of what was probed."""
    assert torch.get_num_threads() == threads
    return sound_reaches(model, rows=rows, width=width)


@functools.lru_cache(maxsize=ADOPTED_KEPT)
def probed(model: StaticModel, *, rows: int, width: int, threads: int) -> ContractReport:
    """What holds at a shape; probed once a process, `threads` being part of what was probed."""
    report = probe_contract(model, rows=rows, width=width, tokens=CONTRACT_TOKENS)
    assert report.threads == threads
    return report


@functools.lru_cache(maxsize=ADOPTED_KEPT)
def taxed(*, stock: StaticModel, locked: StaticModel, rows: int, width: int, threads: int) -> str:
    """The identity tax of a shape in words; measured once a process at each number of `threads`."""
    assert torch.get_num_threads() == threads
    wide = step_seconds(locked, rows=rows, width=width)
    narrow = step_seconds(stock, rows=rows, width=1)
    return (
        f"identity tax {wide / narrow:.2f}: a step of {rows}x{width} slots takes "
        f"{1e3 * wide:.2f} ms, of {rows}x1 {1e3 * narrow:.2f} ms"
    )
