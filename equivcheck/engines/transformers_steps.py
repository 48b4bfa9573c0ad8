"""Watch `generate()` from outside: what each step drafted, accepted and thought of its tokens.

Uses only what transformers documents: a logits processor is called once for every slot of a verify
window, with the prefix of that slot; a streamer is given each step's new tokens. Drafters call the
same processors on prefixes of their own, always before the target does, so what counts is the
last run of calls that starts at the present length.
"""

from __future__ import annotations

import time

import torch
from msgspec.structs import replace
from torch import Tensor
from transformers import LogitsProcessor
from transformers.generation.streamers import BaseStreamer

from equivcheck.core.generation import Step, TokenScore

LOWEST = -1e30
"""Stands for the logarithm of zero: JSON has no minus infinity."""


class VerifyWindow(LogitsProcessor):
    """The slots of the present verify window: the last of the logits processors before warping."""

    def __init__(self, *, keep_rows: bool) -> None:
        """With ``keep_rows``, hold on to the logits of every slot."""
        self.keep_rows = keep_rows
        self.length = 0
        """Tokens of prompt and output before the present step."""
        self.calls = 0
        self.rows: list[Tensor] = []
        self.prefix: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Look at one slot; change nothing."""
        if input_ids.shape[1] == self.length:
            self.calls, self.rows = 0, []
        self.calls += 1
        self.prefix = input_ids
        if self.keep_rows:
            # The caller writes into the tensor it has passed.
            self.rows.append(scores[0].clone())
        return scores

    @property
    def drafts(self) -> list[int]:
        """The tokens put to the target in this window."""
        assert self.prefix is not None
        drafted: list[int] = self.prefix[0, self.length :].tolist()
        return drafted


class StepRecorder(BaseStreamer):
    """Turns each step's new tokens into a `Step` and `TokenScore`s."""

    def __init__(self, window: VerifyWindow) -> None:
        """Record what ``window`` sees. The clock starts now."""
        self.window = window
        self.steps: list[Step] = []
        self.scores: list[TokenScore] = []
        self.clock = time.perf_counter()

    def put(self, value: Tensor) -> None:
        """Take the prompt, the first time, and then each step's tokens.

        Raises:
            RuntimeError: a step has no token, so that `generate()` would never come back.
        """
        tokens: list[int] = value.flatten().tolist()
        if not tokens:
            raise RuntimeError("a step gave no token: it would go on for ever")
        if self.window.length:
            self.steps.append(self.read_step(tokens))
            if self.window.keep_rows:
                self.scores += score_tokens(torch.stack(self.window.rows[: len(tokens)]), tokens)
        self.window.length += len(tokens)

    def end(self) -> None:
        """Nothing is held back."""

    def read_step(self, tokens: list[int]) -> Step:
        """Count the present window's drafts that became output."""
        drafts, now = self.window.drafts, time.perf_counter()
        differing = (
            slot
            for slot, (draft, token) in enumerate(zip(drafts, tokens, strict=False))
            if draft != token
        )
        step = Step(
            drafted=len(drafts),
            accepted=next(differing, min(len(drafts), len(tokens))),
            emitted=len(tokens),
            seconds=now - self.clock,
            drafts=tuple(drafts),
        )
        self.clock = now
        return step


def score_tokens(logits: Tensor, tokens: list[int]) -> list[TokenScore]:
    """Scores of ``tokens`` under logits [tokens, vocab], fp32, penalised but not warped."""
    chosen = torch.tensor(tokens, device=logits.device)[:, None]
    # Under a large bias the sum of all would lose the digits that matter.
    logits = logits - logits.amax(dim=-1, keepdim=True)
    total = logits.logsumexp(dim=-1)
    own = logits.gather(1, chosen)[:, 0] - total
    rival_logit, rival = logits.scatter(1, chosen, float("-inf")).max(dim=-1)
    columns = zip(own.tolist(), rival.tolist(), (rival_logit - total).tolist(), strict=True)
    return [
        TokenScore(logprob=max(one, LOWEST), rival=token, rival_logprob=max(other, LOWEST))
        for one, token, other in columns
    ]


def cut_steps(steps: list[Step], *, length: int) -> tuple[Step, ...]:
    """The steps of the first ``length`` output tokens; the last may be cut."""
    kept: list[Step] = []
    left = length
    for step in steps:
        if left <= 0:
            break
        emitted = min(step.emitted, left)
        left -= emitted
        kept.append(replace(step, emitted=emitted))
    return tuple(kept)
