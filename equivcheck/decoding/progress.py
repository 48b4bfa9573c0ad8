"""One request on its way: what the host gathers until its `Generation` is complete."""

from __future__ import annotations

import time
from collections.abc import Sequence

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import FinishReason, Generation, Request, Step, TokenScore
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.stopping import StopRules


class Progress:
    """Gathers blocks; a finished request's surplus is dropped."""

    def __init__(self, request: Request, stops: StopRules, *, started: float) -> None:
        """`started` is a `time.perf_counter()` from before the prompt was read, as it is now."""
        self.request = request
        self.stops = stops
        self.started = started
        self.landed = time.perf_counter()
        """When the latest outcome was here; at first, when the prompt was read."""
        self.prefill_seconds = self.landed - started
        self.steps_started = 0
        """Steps of the decoder that this request has taken part in."""
        self.steps: list[Step] = []
        self.scores: list[TokenScore] = []
        self.digests: list[int] = []

    @property
    def prompt_ids(self) -> Sequence[int]:
        """What the request asks."""
        return self.request.prompt_ids

    @property
    def output(self) -> Sequence[int]:
        """What it has been answered."""
        return self.stops.output

    @property
    def length(self) -> int:
        """Tokens known so far, prompt included."""
        return len(self.request.prompt_ids) + len(self.stops.output)

    def take(self, outcome: RowOutcome, *, landed: float) -> Generation | None:
        """Append a step's tokens up to the one that ends the request, if one does.

        The step took the time since the one before: a step's own may have passed while the host
        did other things, and others' prompts that were read meanwhile kept this request waiting.
        """
        seconds, self.landed = landed - self.landed, landed
        before = len(self.stops.output)
        reason = self.stops.take(outcome.tokens)
        emitted = len(self.stops.output) - before
        self.steps.append(
            Step(
                drafted=outcome.drafted,
                accepted=outcome.accepted,
                emitted=emitted,
                seconds=round(seconds, 7),
                rejected=outcome.rejected,
                drafts=outcome.drafts,
                draft_logprobs=outcome.draft_logprobs,
                residual_log_weight=outcome.residual_log_weight,
            )
        )
        self.scores.extend(outcome.scores[:emitted])
        self.digests.extend(outcome.digests[:emitted])
        return self.finish(reason) if reason else None

    def finish(self, reason: FinishReason) -> Generation:
        """Close the request."""
        return Generation(
            key=self.request.key,
            token_ids=tuple(self.stops.output),
            finish_reason=reason,
            prompt_tokens=len(self.request.prompt_ids),
            steps=tuple(self.steps),
            scores=tuple(self.scores),
            logit_digests=tuple(self.digests),
            prefill_seconds=round(self.prefill_seconds, 7),
            total_seconds=round(self.landed - self.started, 7),
        )


def refuse_unless_done(waiting: Sequence[Request], seats: Sequence[Progress | None]) -> None:
    """End a run whose rows are no longer its own: quietly only if it had answered everything.

    Raises:
        EngineError: saying how many requests have lost their answer.
    """
    if left := len(waiting) + sum(seat is not None for seat in seats):
        raise EngineError(
            f"the decoder was put to other work while {left} of these requests had no answer: "
            f"take all answers first, or open another engine"
        )
