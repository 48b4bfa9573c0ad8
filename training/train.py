"""Train target and draft together: the draft learns from text and the target's probabilities.

Distilling (Hinton et al. 2015) in the same pass costs no extra forward of the target, and every
checkpoint holds a usable pair.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.data import batch

STEPS = 1350
HORIZON = 2200
"""Steps over which the rate's cosine would fall if nothing cut it short."""
COOL_DOWN = 800
"""Last steps, over which the rate falls to its floor."""
BATCH = 16
PEAK_RATE = {"target": 2e-3, "draft": 3e-3}
WARM_UP = 100
FLOOR = 0.05
"""Final learning rate as a share of the peak."""
TEACHING = 0.7
"""Weight of the target's distribution, against the text itself, in the draft's loss."""
CHECKPOINT_EVERY = 50

Report = Callable[[str], None]


class Learner:
    """A model with its optimiser."""

    def __init__(self, model: Any, *, peak: float) -> None:
        """AdamW, weight decay on matrices only."""
        self.model, self.peak = model, peak
        matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        vectors = [weight for weight in model.parameters() if weight.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
            lr=peak,
            betas=(0.9, 0.95),
        )

    def update(self, loss: Tensor, *, share: float) -> None:
        """One step at `share` of the peak rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak * share
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments by name."""
        tensors = {}
        for name, weight in self.model.named_parameters():
            moments = self.optimiser.state[weight]
            tensors[name] = weight.detach()
            tensors[f"{name}|mean"] = moments["exp_avg"]
            tensors[f"{name}|square"] = moments["exp_avg_sq"]
        return tensors

    def restore(self, tensors: dict[str, Tensor], *, step: int) -> None:
        """Undo `tensors`."""
        for name, weight in self.model.named_parameters():
            weight.data.copy_(tensors[name])
            self.optimiser.state[weight] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"{name}|mean"].clone(),
                "exp_avg_sq": tensors[f"{name}|square"].clone(),
            }


def schedule(step: int, *, steps: int) -> float:
    """Share of the peak rate: linear warm-up, a slow cosine, and a linear cool-down at the end.

    The cool-down is what makes the number of steps a free choice (Hägele et al. 2024).
    """
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = (step - WARM_UP) / (HORIZON - WARM_UP)
    share = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
    return max(FLOOR, share * min(1.0, (steps - step) / COOL_DOWN))


def train(
    target: Learner,
    draft: Learner,
    streams: dict[str, Tensor],
    *,
    steps: int,
    size: int,
    checkpoints: Path,
    report: Report,
) -> float:
    """Train up to `steps`, going on from the last checkpoint.

    Returns:
        Seconds spent, over all sessions.
    """
    first, spent = resume(target, draft, checkpoints)
    began = time.monotonic() - spent
    for step in range(first, steps):
        share = schedule(step, steps=steps)
        losses = learn(target, draft, batch(streams, size=size, seed=step), share=share)
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            spent = time.monotonic() - began
            checkpoint(target, draft, checkpoints, step=step + 1, seconds=spent)
            report(
                f"step {step + 1}/{steps}  target {losses[0]:.3f}  draft {losses[1]:.3f} nats  "
                f"{spent / 60:.1f} min"
            )
    return spent


def learn(target: Learner, draft: Learner, windows: Tensor, *, share: float) -> tuple[float, float]:
    """One step of both; cross-entropies in nats a token."""
    inputs, labels = windows[:, :-1], windows[:, 1:].flatten()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        target_logits = target.model(inputs).logits
        draft_logits = draft.model(inputs).logits
    target_log_probs = target_logits.float().flatten(0, 1).log_softmax(dim=-1)
    draft_log_probs = draft_logits.float().flatten(0, 1).log_softmax(dim=-1)
    target_loss = F.nll_loss(target_log_probs, labels)
    target.update(target_loss, share=share)
    taught = F.kl_div(
        draft_log_probs, target_log_probs.detach(), log_target=True, reduction="batchmean"
    )
    told = F.nll_loss(draft_log_probs, labels)
    draft.update(TEACHING * taught + (1 - TEACHING) * told, share=share)
    return target_loss.item(), told.item()


def checkpoint(target: Learner, draft: Learner, folder: Path, *, step: int, seconds: float) -> None:
    """Write both learners, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "partial.safetensors"
    tensors = {f"target|{name}": tensor for name, tensor in target.tensors().items()}
    tensors |= {f"draft|{name}": tensor for name, tensor in draft.tensors().items()}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors | {"progress": torch.tensor([float(step), seconds])}, partial)
    partial.rename(folder / "last.safetensors")


def resume(target: Learner, draft: Learner, folder: Path) -> tuple[int, float]:
    """Restore the last checkpoint; steps done and seconds spent."""
    last = folder / "last.safetensors"
    if not last.exists():
        return 0, 0.0
    tensors = load_file(last)
    step, seconds = tensors.pop("progress").tolist()
    for role, learner in (("target", target), ("draft", draft)):
        prefix = f"{role}|"
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        learner.restore(own, step=int(step))
    return int(step), seconds
