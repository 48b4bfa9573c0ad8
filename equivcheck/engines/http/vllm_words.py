"""What vLLM says of an answer and of its drafts."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from equivcheck.core.generation import DraftCounts
from equivcheck.core.lossy import lossy_in
from equivcheck.core.validation import decoded
from equivcheck.engines.http.completions import CompletionsResponse
from equivcheck.engines.http.wire import Wire

CONFIG = "/server_info?config_format=json"
"""The server's whole configuration: only where it was started with VLLM_SERVER_DEV_MODE=1."""


class VllmSpeculation(Struct, frozen=True, kw_only=True):
    """``metrics.speculative_decoding`` of one answer; steps without drafts are not counted."""

    num_spec_steps: int
    num_draft_tokens: int
    num_accepted_draft_tokens: int
    num_spec_tokens: int
    acceptance_histogram: tuple[int, ...] = ()
    """Steps by the number of drafts that they accepted."""
    per_step_drafted: tuple[int, ...] | None = None
    """Drafts of each of these steps, in order; null where there are none, or they are not told."""
    per_step_accepted: tuple[int, ...] | None = None

    @property
    def counts(self) -> DraftCounts:
        """In this package's words."""
        steps = self.acceptance_histogram
        return DraftCounts(
            drafted=self.num_draft_tokens,
            accepted=self.num_accepted_draft_tokens,
            steps=self.num_spec_steps,
            accepted_by_slot=tuple(sum(steps[slot + 1 :]) for slot in range(len(steps) - 1)),
        )


class Metrics(Struct, frozen=True, kw_only=True):
    """``metrics`` of one answer."""

    speculative_decoding: VllmSpeculation | None = None


class VllmAnswer(CompletionsResponse, frozen=True, kw_only=True):
    """An answer of ``/v1/completions``, with what it says of its drafts."""

    metrics: Metrics | None = None
    system_fingerprint: str | None = None


class SpeculativeConfig(Struct, frozen=True, kw_only=True):
    """``vllm_config.speculative_config``."""

    method: str | None = None


class VllmConfig(Struct, frozen=True, kw_only=True):
    """``vllm_config``."""

    speculative_config: SpeculativeConfig | None = None


class VllmServerInfo(Struct, frozen=True, kw_only=True):
    """What `CONFIG` says."""

    vllm_config: VllmConfig


def lossy_of(wire: Wire) -> tuple[str, ...]:
    """Which lossy settings the server is in; none where it does not say."""
    reply = wire.get(CONFIG)
    return lossy_in([reply.body.decode(errors="replace")]) if reply.status == 200 else ()


def method_of(wire: Wire) -> str | None:
    """How the server drafts, in its own word; None: it does not say."""
    reply = wire.get(CONFIG)
    if reply.status != 200:
        return None
    try:
        told = decoded(lambda data: msgspec.json.decode(data, type=VllmServerInfo), reply.body)
    except msgspec.DecodeError:
        return None
    speculative = told.vllm_config.speculative_config
    return None if speculative is None else speculative.method
