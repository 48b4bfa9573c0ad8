"""Options of the engine `vllm`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Method = Literal["plain", "ngram", "draft_model", "eagle", "eagle3", "mtp", "medusa", "suffix"]
OWN_WEIGHTS = ("eagle", "eagle3", "medusa")
"""Methods whose drafting head is a folder of its own: the option ``head``."""
BLOCK = 32
"""Tokens of a block of KV, where so many blocks are asked for; the least that CPUs do well."""


class VllmOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``vllm:``."""

    mode: Method = "plain"
    """How drafts are made. draft_model: with the pair's draft; mtp: by the target's own layers."""
    gamma: Annotated[int, Meta(ge=1, le=127)] = 4
    """Draft tokens a step; without meaning for plain."""
    head: str | None = None
    """Folder of the drafting head, for eagle, eagle3 and medusa."""
    lookup_min: Annotated[int, Meta(ge=1)] = 1
    """Shortest text that ngram looks up, in tokens."""
    lookup_max: Annotated[int, Meta(ge=1)] = 3
    """Longest one."""
    batch: Annotated[int, Meta(ge=1)] | None = None
    """Requests decoded at once; none: the setup's batch size."""
    prefix_cache: bool = True
    """Whether the KV of prompts is kept for later ones, as vLLM does unless told otherwise."""
    async_scheduling: bool | None = None
    """Whether the next step is scheduled before the last has ended; none: vLLM's own choice."""
    eager: bool | None = None
    """Without torch.compile and CUDA graphs; none: on a CPU only."""
    memory: Annotated[float, Meta(gt=0, le=1)] = 0.9
    """Share of a GPU's memory to take; on a CPU VLLM_CPU_KVCACHE_SPACE (GiB) says how much."""
    cache_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Tokens of KV that there is memory for, in blocks of 32: beyond that vLLM preempts, and tells.
    At least the setup's context; none: as many as fit."""
    scores: bool = True
    """Report log-probabilities of requests whose logits nothing changes before temperature."""
