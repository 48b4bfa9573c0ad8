"""The target's own output, on which drafts are distilled: prompts cut from the training text.

Three rows in four are continued greedily, the others sampled, as drafts are used in both ways.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

PROMPTS = (16, 32, 64, 128)
"""Tokens a prompt, in turns."""
CONTINUED = 128
ROWS = 90
GREEDY_SHARE = 0.75
TEMPERATURES = (0.5, 1.0)


def outputs(
    model: Any, streams: dict[str, Tensor], *, numbers: range, folder: Path, marks: dict[str, int]
) -> list[tuple[Tensor, int]]:
    """Texts [rows, tokens] with the length of their prompts; each batch is kept in a file.

    Args:
        model: the target, fp32.
        streams: training text by class.
        numbers: of the batches, of `ROWS` texts each, as many of each class.
        folder: where they are kept.
        marks: ids of the chat format's tokens, `user`, `assistant` and `newline`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in numbers:
        kept = folder / f"{number:04}.safetensors"
        length = PROMPTS[number % len(PROMPTS)]
        if not kept.exists():
            generator = torch.Generator().manual_seed(1_000_000 + number)
            given = prompts(streams, length=length, marks=marks, generator=generator)
            partial = kept.with_suffix(".partial")
            save_file({"texts": continued(model, given, generator=generator)}, partial)
            partial.rename(kept)
        found.append((load_file(kept)["texts"], length))
    return found


def prompts(
    streams: dict[str, Tensor], *, length: int, marks: dict[str, int], generator: torch.Generator
) -> Tensor:
    """Beginnings of `length` tokens, [ROWS, length], int64; a third of them requests in a chat."""
    names, rows = list(streams), []
    for index in range(ROWS):
        stream = streams[names[index % len(names)]]
        start = int(torch.randint(len(stream) - length, (1,), generator=generator))
        row = stream[start : start + length].long().clone()
        if index // len(names) % 3 == 0:
            turn = (marks["assistant"], marks["newline"])
            row[:2] = torch.tensor((marks["user"], marks["newline"]))
            row[-3:] = torch.tensor((marks["newline"], *turn))
        rows.append(row)
    return torch.stack(rows)


@torch.inference_mode()
def continued(model: Any, given: Tensor, *, generator: torch.Generator) -> Tensor:
    """Prompts and `CONTINUED` tokens behind each, [rows, tokens], int32."""
    greedy = torch.rand(len(given), generator=generator) < GREEDY_SHARE
    low, high = TEMPERATURES
    warmth = low + (high - low) * torch.rand(len(given), 1, generator=generator)
    texts, step, cache = [given], given, None
    for _ in range(CONTINUED):
        out = model(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, logits = out.past_key_values, out.logits[:, -1]
        drawn = torch.multinomial((logits / warmth).softmax(-1), 1, generator=generator)[:, 0]
        step = torch.where(greedy, logits.argmax(-1), drawn)[:, None]
        texts.append(step)
    return torch.cat(texts, dim=1).int()
