"""A model with its optimisers, and its checkpoints: an interrupted run goes on bit for bit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

EMBEDDING = re.compile("embed_tokens|lm_head")


class Learner:
    """A model with the optimisers of its matrices (Muon, Jordan et al. 2024) and the rest."""

    def __init__(self, model: Any, *, rate: float) -> None:
        """Embeddings, output matrices and vectors learn by AdamW."""
        self.model, self.rate = model, rate
        named = dict(model.named_parameters())
        matrices = [w for name, w in named.items() if w.ndim == 2 and not EMBEDDING.search(name)]
        rest = [w for name, w in named.items() if w.ndim != 2 or EMBEDDING.search(name)]
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.0),
        )

    def update(self, *, share: float) -> None:
        """One step at `share` of the rate, from the gradients that are there."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments by name."""
        tensors = {}
        for name, weight in self.model.named_parameters():
            tensors[name] = weight.detach()
            for optimiser in self.optimisers:
                for key, value in optimiser.state.get(weight, {}).items():
                    tensors[f"{name}|{key}"] = value
        return {name: tensor.contiguous() for name, tensor in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Undo `tensors`."""
        for optimiser in self.optimisers:
            owned = {id(weight) for group in optimiser.param_groups for weight in group["params"]}
            for name, weight in self.model.named_parameters():
                if id(weight) in owned:
                    weight.data.copy_(tensors[name])
                    prefix = f"{name}|"
                    optimiser.state[weight] = {
                        key.removeprefix(prefix): value.clone()
                        for key, value in tensors.items()
                        if key.startswith(prefix)
                    }


def checkpoint(learner: Learner, file: Path, *, step: int, seconds: float) -> None:
    """Write the learner, whole or not at all."""
    partial = file.with_suffix(".partial")
    progress = torch.tensor([float(step), seconds], dtype=torch.float64)
    save_file(learner.tensors() | {"progress": progress}, partial)
    partial.rename(file)


def resume(learner: Learner, file: Path) -> tuple[int, float]:
    """Restore the checkpoint, if there is one; steps done and seconds spent."""
    if not file.exists():
        return 0, 0.0
    tensors = load_file(file)
    step, seconds = tensors.pop("progress").tolist()
    learner.restore(tensors)
    return int(step), seconds
