"""Token streams for training: every class weighs the same, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from training.corpus import Document
from training.packages import WORKLOADS

SEQUENCE = 256


def encode(
    documents: Iterable[Document], tokenizer: Any, *, classes: Sequence[str] = WORKLOADS
) -> dict[str, Tensor]:
    """One stream of ids a class, documents ended by the end token, [tokens], int32."""
    streams: dict[str, list[int]] = {workload: [] for workload in classes}
    end = tokenizer.eos_token_id
    documents = list(documents)
    encoded = tokenizer([document.text for document in documents], add_special_tokens=False)
    for document, ids in zip(documents, encoded["input_ids"], strict=True):
        streams[document.workload].extend((*ids, end))
    return {
        workload: torch.tensor(ids, dtype=torch.int32)
        for workload, ids in streams.items()
        if len(ids) > SEQUENCE
    }


def batch(streams: dict[str, Tensor], *, size: int, seed: int, length: int = SEQUENCE) -> Tensor:
    """Random windows, as many of each class, [size, length + 1], int64."""
    generator = torch.Generator().manual_seed(seed)
    names: Sequence[str] = list(streams)
    rows = []
    for index in range(size):
        stream = streams[names[index % len(names)]]
        start = int(torch.randint(len(stream) - length, (1,), generator=generator))
        rows.append(stream[start : start + length + 1])
    return torch.stack(rows).long()
