"""What vLLM says of an answer and of its drafts."""

from __future__ import annotations

from msgspec import Struct

from equivcheck.core.generation import DraftCounts
from equivcheck.engines.http.completions import Answer


class Speculation(Struct, frozen=True, kw_only=True):
    """``metrics.speculative_decoding`` of one answer; steps without drafts are not counted."""

    num_spec_steps: int
    num_draft_tokens: int
    num_accepted_draft_tokens: int
    num_spec_tokens: int
    acceptance_histogram: tuple[int, ...] = ()
    """Steps by the number of drafts that they accepted."""
    per_step_drafted: tuple[int, ...] | None = None
    """Of these steps, in order; null where there are none, or they are not told."""
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

    speculative_decoding: Speculation | None = None


class VllmAnswer(Answer, frozen=True, kw_only=True):
    """An answer of ``/v1/completions``, with what it says of its drafts."""

    metrics: Metrics | None = None
    system_fingerprint: str | None = None
