"""Taking over a transformers model: fuse it, then prove that the fusion computes the same thing.

The proof is a comparison of logits with the model's own forward pass, so an architecture that was
misread is refused rather than measured.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch

from equivcheck.core.errors import PairError, unknown_name
from equivcheck.decoding.architecture import Architecture, describe
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.backends.stock import ACTIVATIONS, STOCK
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.weights import Weights, fuse

PROBE_TOKENS = 24
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.15}
"""Largest root-mean-square error, relative to the spread of the logits. A wrong rotation, norm or
mask gives an error of the order of 1; bf16 arithmetic in another order up to a few hundredths."""


FUSED: WeakKeyDictionary[Any, Weights] = WeakKeyDictionary()
"""Weights by the model they were fused of, shared by its static models of all lengths. Not a cache
of so many: one that is full would fuse a large target again beside the copy in use, and one with
room would keep it when the model itself, as large, is gone."""


@torch.inference_mode()
def adopt(
    model: Any,
    *,
    positions: int,
    backend: Backend = STOCK,
    reaches: tuple[int, ...] = (),
) -> StaticModel:
    """Make a static model out of a transformers causal LM.

    Args:
        model: in evaluation mode, on its device, in its dtype.
        positions: positions its rotary tables and caches get.
        arithmetic: how it multiplies, normalises and attends.
        reaches: lengths at which attention may stop; see `reaching.py`.

    Raises:
        PairError: the architecture is unsupported, or its logits come out differently.
    """
    architecture = describe(model.config)
    if architecture.activation not in ACTIVATIONS:
        raise PairError(
            "the native decoder cannot run this model: "
            + unknown_name("activation", architecture.activation, ACTIVATIONS)
        )
    static = StaticModel(
        architecture,
        fused(model, architecture),
        positions=positions,
        backend=backend,
        reaches=reaches,
    )
    tokens = probe_tokens(architecture.vocab, static.device)
    expected = model(tokens).logits[0].float()
    start = torch.zeros(1, dtype=torch.int64, device=static.device)
    actual = static.logits(static.forward(tokens, start, static.new_cache(rows=1)))[0]
    error = (actual - expected).pow(2).mean().sqrt() / expected.std()
    # Written so that a NaN fails.
    if not error <= TOLERANCE[static.dtype]:
        raise PairError(
            f"the native decoder cannot run this model: its logits differ from transformers' by "
            f"{float(error):.2g} of their spread (at most {TOLERANCE[static.dtype]:g} allowed in "
            f"{static.dtype}); model_type {architecture.family!r}"
        )
    return static


def fused(model: Any, architecture: Architecture) -> Weights:
    """A model's weights, fused once in its life."""
    if model not in FUSED:
        FUSED[model] = fuse(model, architecture)
    return FUSED[model]


def probe_tokens(vocab: int, device: torch.device) -> torch.Tensor:
    """A fixed pseudo-random prompt, [1, PROBE_TOKENS]."""
    index = torch.arange(1, PROBE_TOKENS + 1, device=device)
    return (index * 2654435761 % vocab)[None]
