"""A draft that is right as often as a good one: the target itself with coarser weights.

No training is needed, and its distribution follows the target's the closer, the more bits it keeps.
Widened to a small shape it also costs what a draft of that shape costs. The bundled draft has
learned for half an hour on one core; what speculation gains with a draft that is more often right
is measured with one of these.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


@torch.no_grad()
def round_weights(model: PreTrainedModel, *, bits: int) -> PreTrainedModel:
    """A copy on the model's device and in its dtype, the matrices of its blocks rounded.

    Embeddings, head and norms stay as they are.

    Args:
        model: Any causal language model.
        bits: At least 2.
    """
    rounded: Any = copy.deepcopy(model)
    head = rounded.get_output_embeddings()
    for module in rounded.modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            module.weight.copy_(rounded_rows(module.weight, bits=bits))
    ready: PreTrainedModel = rounded
    return ready


def rounded_rows(weight: Tensor, *, bits: int) -> Tensor:
    """The nearest of ``2**bits - 1`` evenly spaced values about zero, each row by its own step.

    A row's largest number lies half a step outside of the outermost value, which makes all steps
    smaller: with 2 bits, by a third.

    Args:
        weight: Of shape (rows, columns), in any floating dtype, which is kept.
        bits: At least 2.
    """
    most = 2 ** (bits - 1) - 1
    exact = weight.float()
    step = exact.abs().amax(dim=-1, keepdim=True) / (most + 0.5)
    # A row of zeros has no step; any will do.
    step = torch.where(step > 0, step, 1.0)
    return ((exact / step).round().clamp(-most, most) * step).to(weight.dtype)
