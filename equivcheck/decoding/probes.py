"""Single-operation probes: which operation, at which shape, breaks the identity contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from msgspec import Struct
from torch import Tensor

from equivcheck.decoding.backends.interface import KeyValues
from equivcheck.decoding.model import StaticModel

ROLLS = 8
"""Shifts tried per operation, spread over all slots."""


class Probe(Struct, frozen=True, kw_only=True):
    """How often bits differed where the contract needs them equal."""

    name: str
    shape: str
    differing: int
    """Token slots with at least one differing bit."""
    compared: int
    required: bool = True
    """Whether a contract hangs on it."""


def probe_operations(model: StaticModel, *, rows: int, width: int) -> Iterator[Probe]:
    """Probe every distinct linear shape, and norm, activation and attention, at a step's shape."""
    slots = rows * width
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(model.device, model.dtype)

    seen = set()
    for name, weight, product in linears(model):
        if (weight.shape, product) in seen:
            continue
        seen.add((weight.shape, product))
        inputs = noise(slots, weight.shape[1])
        yield rolled(
            name,
            f"[{slots}, {weight.shape[1]}] x {list(weight.shape)}",
            lambda x, weight=weight, product=product: product(x, weight),  # type: ignore[misc]
            inputs,
        )
    shape = model.architecture

    def normed(hidden: Tensor) -> Tensor:
        return model.add_norm(hidden, hidden, model.weights.final_norm)[1]

    def gated(gate_up: Tensor) -> Tensor:
        return model.backend.gate(gate_up, activation=shape.activation)

    hidden = noise(slots, shape.hidden)
    yield rolled("norm", str(list(hidden.shape)), normed, hidden)
    gate_up = noise(slots, model.weights.layers[0].gate_up.shape[0])
    yield rolled("activation", str(list(gate_up.shape)), gated, gate_up)
    yield probe_attention(model, noise, rows=rows, width=width)


def linears(model: StaticModel) -> Iterator[tuple[str, Tensor, Callable[..., Tensor]]]:
    """Names and weights of one block's linears and the head, and what multiplies with them."""
    block, backend = model.weights.layers[0], model.backend
    yield "query_key_value", block.query_key_value, backend.linear
    yield "attention_out", block.attention_out, backend.linear
    yield "gate_up", block.gate_up, backend.linear
    yield "down", block.down, backend.linear
    yield "head", model.weights.head, backend.project


def rolled(name: str, shape: str, operation: Callable[[Tensor], Tensor], inputs: Tensor) -> Probe:
    """Apply `operation` to rolled rows: each row's bits must move along unchanged."""
    expected = operation(inputs)
    slots = inputs.shape[0]
    differing = compared = 0
    for shift in sorted({round(step * slots / ROLLS) for step in range(ROLLS)}):
        actual = operation(inputs.roll(shift, dims=0)).roll(-shift, dims=0)
        differing += int((actual != expected).flatten(1).any(dim=1).sum())
        compared += slots
    return Probe(name=name, shape=shape, differing=differing, compared=compared)


def probe_attention(
    model: StaticModel, noise: Callable[..., Tensor], *, rows: int, width: int
) -> Probe:
    """Attention with the same query in every slot: all slots of a row must agree."""
    shape = model.architecture
    positions = model.key_positions.shape[0]
    keys = noise(rows, positions, shape.kv_heads, shape.head_dim)
    values = noise(rows, positions, shape.kv_heads, shape.head_dim)
    query = noise(rows, 1, shape.heads, shape.head_dim).expand(-1, width, -1, -1)
    depth = torch.full((rows, width), positions // 2, device=model.device)
    visible = model.visible(depth, None, reach=positions)
    mixed = model.backend.attend(query, KeyValues(keys, values), visible)
    differing = int((mixed != mixed[:, :1]).any(dim=-1).sum())
    return Probe(
        name="attention",
        shape=f"{rows}x{width} queries over {positions} positions",
        differing=differing,
        compared=rows * width,
    )
