"""Ask transformers' forward pass what tokens are worth: a part of a bundle's script."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from equivcheck.pipeline.repeating.asking import loaded

POWER_OF_ALPHA = -6


def threshold(tokens: int, share: float) -> int:
    """The least count that a binomial variable reaches with probability at most 1e-6."""
    logs = math.lgamma(tokens + 1)
    tail = 0.0
    for count in range(tokens, -1, -1):
        log = logs - math.lgamma(count + 1) - math.lgamma(tokens - count + 1)
        tail += math.exp(log + count * math.log(share) + (tokens - count) * math.log1p(-share))
        if tail > 10.0**POWER_OF_ALPHA:
            return count + 1
    return 0


def gap_at(facts: dict[str, Any], prefix: list[int], one: int, other: int) -> tuple[float, float]:
    """Nats between two tokens, and what arithmetic may make of it.

    By transformers in float32. Allowed are `near_tie_ulps` steps between the dtype's numbers where
    the larger logit lies.
    """
    import torch

    model = loaded(facts, "target").float()
    with torch.inference_mode():
        row = model(torch.tensor([prefix])).logits[0, -1]
    logits = (float(row[one]), float(row[other]))
    bits = {"float32": 23, "bfloat16": 7, "float16": 10}[facts["setup"].get("dtype", "float32")]
    exponent = math.frexp(max(map(abs, logits)))[1] - 1
    return abs(logits[0] - logits[1]), facts["near_tie_ulps"] * math.ldexp(1.0, exponent - bits)


def placing(facts: dict[str, Any], *, order: str) -> Callable[..., list[float]]:
    """What finds each token's randomised place in the target's distribution: uniform if right."""
    import torch

    target = loaded(facts, "target")
    draft = loaded(facts, "draft") if order == "ratio" else None

    @torch.inference_mode()
    def places(request: dict[str, Any], answer: list[int], noise: random.Random) -> list[float]:
        sampling, found = request["sampling"], []
        rows = distributions(target, request, answer)
        others = rows if draft is None else distributions(draft, request, answer)
        for row, other, token in zip(rows, others, answer, strict=True):
            probs, rivals = cut(row, sampling), cut(other, sampling)
            by = {"id": -torch.arange(len(probs)), "probability": probs, "ratio": rivals / probs}
            falling = by[order].nan_to_num(0.0).sort(descending=True, stable=True).indices
            at = int((falling == token).nonzero()[0, 0])
            before = float(probs[falling[:at]].sum())
            found.append(before + noise.random() * float(probs[token]))
        return found

    return places


def distributions(model: Any, request: dict[str, Any], answer: list[int]) -> Any:
    """Log-probabilities of the whole vocabulary behind each token of an answer."""
    import torch

    prompt = request["prompt_ids"]
    rows = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return (rows.double() / request["sampling"]["temperature"]).log_softmax(-1)


def cut(row: Any, sampling: dict[str, Any]) -> Any:
    """Probabilities behind top-k, top-p and min-p, each over what the one before has left."""
    import torch

    ordered, ids = row.sort(descending=True, stable=True)
    kept = torch.ones_like(ordered)
    if top_k := sampling.get("top_k", 0):
        kept[top_k:] = 0
    if (top_p := sampling.get("top_p", 1.0)) < 1:
        mass = ordered.exp() * kept
        kept *= (mass.cumsum(0) - mass) < top_p * mass.sum()
    if min_p := sampling.get("min_p", 0.0):
        kept *= ordered >= ordered[0] + math.log(min_p)
    kept *= ordered.exp()
    return torch.zeros_like(row).scatter(0, ids, kept / kept.sum())
