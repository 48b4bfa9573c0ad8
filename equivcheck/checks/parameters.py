"""Which draws belong together: cases with the same sampling parameters, under one short name."""

from __future__ import annotations

from collections.abc import Iterable

from equivcheck.core.cases import Sampling
from equivcheck.records.records import Evidence


def parameter_group(sampling: Sampling) -> str:
    """Sampling parameters in words: ``T=0.7 top-p 0.95``, ``T=1 penalties bias``."""
    parts = [
        f"T={sampling.temperature:g}",
        f"top-k {sampling.top_k}" if sampling.top_k else "",
        f"top-p {sampling.top_p:g}" if sampling.top_p < 1 else "",
        f"min-p {sampling.min_p:g}" if sampling.min_p else "",
        "penalties"
        if sampling.repetition_penalty != 1
        or sampling.presence_penalty
        or sampling.frequency_penalty
        else "",
        "bias" if sampling.logit_bias else "",
        "bans" if sampling.banned_tokens else "",
        "min-tokens" if sampling.min_new_tokens else "",
    ]
    return " ".join(part for part in parts if part)


def parameter_groups(evidence: Evidence, keys: Iterable[str]) -> dict[str, str]:
    """Case to group."""
    return {
        key: parameter_group(evidence.asked[key].request.sampling)
        for key in keys
        if key in evidence.asked
    }
