"""Give a draft as many vocabulary rows as its target, so that their distributions compare.

Checkpoints of one family pad the same vocabulary to different sizes. Which ids mean what is
checked before (`alignment.py`).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import PreTrainedModel


@torch.no_grad()
def fit_vocabulary(draft: PreTrainedModel, *, rows: int) -> PreTrainedModel:
    """Return the draft with `rows` embedding rows: itself, or a copy cut or padded to size.

    Padding repeats the last row. A random or zero row might win an argmax; a copy of the last one
    ties with it at most, and the first index wins a tie.
    """
    fitted: Any = draft
    before = fitted.get_input_embeddings().weight.shape[0]
    if before == rows:
        return draft
    fitted = copy.deepcopy(draft)
    fitted.resize_token_embeddings(rows, mean_resizing=False)
    for embedding in (fitted.get_input_embeddings(), fitted.get_output_embeddings()):
        embedding.weight[before:] = embedding.weight[min(before, rows) - 1]
    ready: PreTrainedModel = fitted.requires_grad_(False).eval()
    return ready
