"""Distil drafts on the target's own output: the draft model, the EAGLE-3 head, the MTP head."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.heads import DEPTHS, DRAFT_VOCABULARY, TAPPED, EagleHead, MtpHead
from training.learner import Learner, checkpoint, resume
from training.outputs import CONTINUED

CHAIN = 5
"""Drafts a chain on which the EAGLE-3 head is trained: one more than are usually asked for."""
DECAY = 0.85
"""Weight of a draft in the loss against the one before it."""
HARD = 0.5
"""Weight of the target's most likely token, against its distribution: greedy drafts need it."""
WARM_UP = 50
FLOOR = 0.02
CHECKPOINT_EVERY = 50

Report = Callable[[str], None]
Loss = Callable[["Taught"], Tensor]


class Taught(NamedTuple):
    """What the target says of a batch of texts."""

    texts: Tensor
    """[rows, tokens], int64."""
    hidden: tuple[Tensor, ...]
    """After each number of layers, none included, before the final norm; [rows, tokens, hidden]."""
    logits: Tensor
    """[rows, tokens, vocabulary], fp32."""
    weight: Tensor
    """Of each position in the loss, [rows, tokens]: none where text behind its end is."""


PROMPT_WEIGHT = 0.2
"""Of a position inside the prompt, whose text the target has not written."""


@torch.no_grad()
def taught(target: Any, texts: Tensor, *, end: int, exact: bool = False) -> Taught:
    """Run the target over texts that end in `CONTINUED` tokens of its own.

    In bf16, unless `exact`.
    """
    texts = texts.long()
    last: list[Tensor] = []
    hook = target.model.norm.register_forward_pre_hook(lambda _norm, given: last.append(given[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not exact):
        out = target(texts, output_hidden_states=True, use_cache=False)
    hook.remove()
    written = texts.shape[1] - CONTINUED
    weight = torch.full(texts.shape, PROMPT_WEIGHT)
    weight[:, written - 1 :] = 1.0
    ends = (texts[:, written:] == end).int().cumsum(1) > 0
    weight[:, written:][ends] = 0.0
    return Taught(texts, (*out.hidden_states[:-1], last[0]), out.logits.float(), weight)


def loss_of(logits: Tensor, taught_logits: Tensor, weight: Tensor) -> Tensor:
    """Distance of drafts' distributions and most likely tokens from the target's."""
    distribution = logits.float().log_softmax(-1)
    soft = -(taught_logits.softmax(-1) * distribution).sum(-1)
    hard = -distribution.gather(-1, taught_logits.argmax(-1, keepdim=True))[..., 0]
    return (((1 - HARD) * soft + HARD * hard) * weight).sum() / weight.sum()


def draft_loss(draft: Any, given: Taught) -> Tensor:
    """Of a draft model."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = draft(given.texts, use_cache=False).logits
    return loss_of(logits, given.logits, given.weight)


def eagle_loss(head: EagleHead, embedding: Tensor, given: Taught) -> Tensor:
    """Of chains of `CHAIN` drafts; positions whose best token the head cannot draft count not."""
    entries = given.texts.shape[1] - CHAIN - 1
    embedded = F.embedding(given.texts[:, 1:], embedding)
    tapped = [given.hidden[place][:, :entries] for place in TAPPED]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        steps = head(tapped, embedded, steps=CHAIN)
    total = torch.zeros(())
    for step, logits in enumerate(steps):
        at = slice(step + 1, step + 1 + entries)
        best = head.t2d[given.logits[:, at].argmax(-1)]
        wanted = given.logits[:, at][..., head.t2d]
        total = total + DECAY**step * loss_of(logits, wanted, given.weight[:, at] * best)
    return total


def mtp_loss(head: MtpHead, embedding: Tensor, given: Taught) -> Tensor:
    """Of all depths."""
    entries = given.texts.shape[1] - DEPTHS - 1
    embedded = F.embedding(given.texts[:, 1:], embedding)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        read = head(given.hidden[-1][:, :entries], embedded)
        logits = [F.linear(hidden, embedding) for hidden in read]
    total = torch.zeros(())
    for depth, each in enumerate(logits):
        at = slice(depth + 1, depth + 1 + entries)
        total = total + DECAY**depth * loss_of(each, given.logits[:, at], given.weight[:, at])
    return total


def distil(
    model: nn.Module,
    loss: Loss,
    target: Any,
    texts: list[tuple[Tensor, int]],
    *,
    rate: float,
    epochs: int,
    rows: int,
    end: int,
    file: Path,
    report: Report,
) -> None:
    """Train `model` over the texts, going on from its checkpoint in `file`."""
    learner = Learner(model, rate=rate)
    batches = [part for text, _ in texts for part in text.split(rows)]
    steps = epochs * len(batches)
    first, spent = resume(learner, file)
    began, losses = time.monotonic() - spent, []
    for step in range(first, steps):
        order = torch.randperm(
            len(batches), generator=torch.Generator().manual_seed(step // len(batches))
        )
        share = min(1.0, (step + 1) / WARM_UP, max(FLOOR, 1.2 * (1 - step / steps)))
        value = loss(taught(target, batches[order[step % len(batches)]], end=end))
        value.backward()
        learner.update(share=share)
        losses.append(value.item())
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            spent = time.monotonic() - began
            checkpoint(learner, file, step=step + 1, seconds=spent)
            mean = sum(losses) / len(losses)
            report(f"{file.stem}: step {step + 1}/{steps}  loss {mean:.3f}  {spent / 60:.1f} min")
            losses.clear()


def new_eagle(target: Any, texts: list[tuple[Tensor, int]]) -> EagleHead:
    """A head that begins as the target's last layer, over the tokens that it writes most."""
    counts = torch.zeros(target.config.vocab_size)
    for text, length in texts:
        counts += torch.bincount(text[:, length:].flatten(), minlength=len(counts))
    drafted = counts.topk(DRAFT_VOCABULARY).indices.sort().values
    torch.manual_seed(2)
    head = EagleHead(target.config, drafted=drafted)
    size, last = target.config.hidden_size, target.model.layers[-1]
    with torch.no_grad():
        head.fc.weight.mul_(0.2)[:, -size:] += torch.eye(size)
        head.norm.weight.copy_(target.model.norm.weight)
        head.lm_head.weight.copy_(target.lm_head.weight[drafted])
        head.midlayer.hidden_norm.weight.copy_(last.input_layernorm.weight)
        for name in ("q_proj", "k_proj", "v_proj"):
            own = getattr(head.midlayer.self_attn, name).weight.mul_(0.2)
            own[:, size:] = getattr(last.self_attn, name).weight
        head.midlayer.self_attn.o_proj.weight.copy_(last.self_attn.o_proj.weight)
        begin_as(head.midlayer, last)
    return head


def new_mtp(target: Any) -> MtpHead:
    """Depths that begin as the target's last layer."""
    torch.manual_seed(3)
    head = MtpHead(target.config)
    size, last = target.config.hidden_size, target.model.layers[-1]
    with torch.no_grad():
        layer: Any
        for layer in head.mtp_layers:
            layer.input_proj.weight.mul_(0.2)[:, :size] += torch.eye(size)
            layer.input_layernorm.weight.copy_(last.input_layernorm.weight)
            layer.final_layernorm.weight.copy_(target.model.norm.weight)
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                own = getattr(layer.self_attn, name).weight
                own.copy_(getattr(last.self_attn, name).weight)
            begin_as(layer, last)
    return head


def begin_as(layer: Any, last: Any) -> None:
    """Copy the MLP and its norm."""
    layer.post_attention_layernorm.weight.copy_(last.post_attention_layernorm.weight)
    for name in ("gate_proj", "up_proj", "down_proj"):
        getattr(layer.mlp, name).weight.copy_(getattr(last.mlp, name).weight)
