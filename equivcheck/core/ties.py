"""Ties that a request brings about by itself, whatever the model's logits are."""

from __future__ import annotations

from equivcheck.core.cases import Sampling

TYING_BIAS = 2.0**30
"""From this bias on, logits below 64 drown: the distance of two fp32 numbers there is 128, of
bf16 and fp16 numbers more, so tokens with one such bias come out equal."""


def rounding_bias(sampling: Sampling) -> float:
    """The largest bias that rounds a logit it is added to; one that drowns it does not count."""
    sizes = [abs(bias) for bias in sampling.logit_bias.values()]
    return max((size for size in sizes if size < TYING_BIAS), default=0.0)


def ties_at_cut(sampling: Sampling) -> bool:
    """Whether tokens tie exactly at the border of a top-k cut: more share a bias than are kept.

    Which of them stay is a convention and no distribution: implementations keep the smaller ids, or
    all.
    """
    tied = [bias for bias in sampling.logit_bias.values() if bias >= TYING_BIAS]
    return bool(tied) and 0 < sampling.top_k < tied.count(max(tied))
