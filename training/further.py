"""Train the bundled target on with more text, on two cores: the target of `tiny-v2`.

Two processes of one thread each take half of a step's windows and add their gradients once a step.
A sum of two is the same in either order, so that the run repeats bit for bit; and processes that
wait for each other once a step lose less to a busy machine than threads that wait at each product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.data import batch

RANKS = 2
ROWS = 6
"""Windows a process and step: one of each class."""
LENGTH = 512
STEPS = 2900
WARM_UP = 100
COOL_DOWN = 0.4
"""Share of the steps, at the end, over which the rate falls to nearly none."""
RATE = 2e-3
CHECKPOINT_EVERY = 100

Report = Callable[[str], None]


class Learner:
    """A model with the optimisers of its matrices (Muon, Jordan et al. 2024) and the rest."""

    def __init__(self, model: Any) -> None:
        """Embeddings, which are the output matrix too, and vectors learn by AdamW."""
        self.model = model
        named = dict(model.named_parameters())
        matrices = [w for name, w in named.items() if w.ndim == 2 and "embed" not in name]
        rest = [w for name, w in named.items() if w.ndim != 2 or "embed" in name]
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=RATE, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0),
        )

    def update(self, *, share: float) -> None:
        """One step at `share` of the rate, from the gradients that are there."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = RATE * share
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


def schedule(step: int, *, steps: int) -> float:
    """Share of the rate: linear warm-up, constant, linear cool-down to nearly none."""
    return min(1.0, (step + 1) / WARM_UP, max(0.02, (steps - step) / (COOL_DOWN * steps)))


def train(
    model: Any,
    streams: dict[str, Tensor],
    *,
    rank: int,
    steps: int,
    folder: Path,
    report: Report,
) -> float:
    """Train up to `steps`, going on from the last checkpoint in `folder`; one of `RANKS` processes.

    Returns:
        Seconds spent, over all sessions.
    """
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank,
                            world_size=RANKS)  # fmt: skip
    learner = Learner(model)
    first, spent = resume(learner, folder)
    began = time.monotonic() - spent
    losses = []
    for step in range(first, steps):
        windows = batch(streams, size=ROWS, seed=RANKS * step + rank, length=LENGTH)
        losses.append(learn(learner, windows, share=schedule(step, steps=steps)))
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            spent = time.monotonic() - began
            if rank == 0:
                checkpoint(learner, folder, step=step + 1, seconds=spent)
            mean = sum(losses) / len(losses)
            report(f"step {step + 1}/{steps}  {mean:.3f} nats a token  {spent / 60:.1f} min")
            losses.clear()
    dist.destroy_process_group()
    return spent


def learn(learner: Learner, windows: Tensor, *, share: float) -> float:
    """One step of this process's half; its cross-entropy in nats a token."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = learner.model(windows[:, :-1], use_cache=False).logits
    loss = F.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
    loss.backward()
    gradients = [weight.grad for weight in learner.model.parameters()]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = (flat / RANKS).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    learner.update(share=share)
    return loss.item()


def checkpoint(learner: Learner, folder: Path, *, step: int, seconds: float) -> None:
    """Write the learner, whole or not at all."""
    partial = folder / "partial.safetensors"
    progress = torch.tensor([float(step), seconds], dtype=torch.float64)
    save_file(learner.tensors() | {"progress": progress}, partial)
    partial.rename(folder / "last.safetensors")


def resume(learner: Learner, folder: Path) -> tuple[int, float]:
    """Restore the last checkpoint; steps done and seconds spent."""
    last = folder / "last.safetensors"
    if not last.exists():
        return 0, 0.0
    tensors = load_file(last)
    step, seconds = tensors.pop("progress").tolist()
    learner.restore(tensors)
    return int(step), seconds
