"""Which draws belong together: cases with the same sampling parameters, under one short name."""

from __future__ import annotations

from collections.abc import Iterable

from equivcheck.core.cases import Sampling
from equivcheck.records.records import Evidence


def parameter_group(law: Sampling) -> str:
    """Sampling parameters in words: ``T=0.7 top-p 0.95``, ``T=1 penalties bias``."""
    parts = [
        f"T={law.temperature:g}",
        f"top-k {law.top_k}" if law.top_k else "",
        f"top-p {law.top_p:g}" if law.top_p < 1 else "",
        f"min-p {law.min_p:g}" if law.min_p else "",
        "penalties"
        if law.repetition_penalty != 1 or law.presence_penalty or law.frequency_penalty
        else "",
        "bias" if law.logit_bias else "",
        "bans" if law.banned_tokens else "",
        "min-tokens" if law.min_new_tokens else "",
    ]
    return " ".join(part for part in parts if part)


def parameter_groups(evidence: Evidence, keys: Iterable[str]) -> dict[str, str]:
    """Case to group."""
    return {
        key: parameter_group(evidence.asked[key].request.sampling)
        for key in keys
        if key in evidence.asked
    }
