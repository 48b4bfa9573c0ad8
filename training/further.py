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
from torch import Tensor

from training.data import batch
from training.learner import Learner, checkpoint, resume

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
    learner, last = Learner(model, rate=RATE), folder / "last.safetensors"
    first, spent = resume(learner, last)
    began = time.monotonic() - spent
    losses = []
    for step in range(first, steps):
        windows = batch(streams, size=ROWS, seed=RANKS * step + rank, length=LENGTH)
        losses.append(learn(learner, windows, share=schedule(step, steps=steps)))
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            spent = time.monotonic() - began
            if rank == 0:
                checkpoint(learner, last, step=step + 1, seconds=spent)
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
