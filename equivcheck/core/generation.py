"""What goes into an engine and what comes out: `Request` and `Generation`. Token ids, never text.

Plain records shared by engines, capture, scoring and checks; no torch here.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, NamedTuple, cast

import msgspec
from msgspec import Meta, Struct

from equivcheck.core.cases import Conversation, Sampling

ROUND_MARK = "#"
"""Between a case's key and the number of a draw: ``sampling/t1#17``."""
FinishReason = Literal["eos", "stop", "length"]
"""eos: an end-of-sequence id; stop: a stop id or stop string; length: a token limit."""


class Prompt(NamedTuple):
    """A prompt as engines get it."""

    ids: tuple[int, ...]
    conversation: Conversation | None = None
    """As in `Request`."""


class Request(Struct, frozen=True, kw_only=True):
    """One prompt as token ids, ready for an engine."""

    key: str
    """``workload/case``; also names the request's random streams."""
    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    seed: int = 0
    conversation: Conversation | None = None
    """What the pair's chat template made `prompt_ids` of, for servers that take messages alone.
    None: the prompt is raw. Not recorded."""

    @property
    def prompt_digest(self) -> str:
        """First 16 hex digits of the sha256 of the prompt's ids: tells one prompt from another."""
        return hashlib.sha256(msgspec.json.encode(self.prompt_ids)).hexdigest()[:16]

    @property
    def stream_seed(self) -> int:
        """56 bits for engines that take a seed a request.

        Made of `seed` and `key`, so that requests of equal seeds do not share a random stream.
        """
        digest = hashlib.sha256(f"{self.seed}\n{self.key}".encode()).digest()
        return int.from_bytes(digest[:7], "little")


class Step(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One verify step of one request."""

    drafted: int
    """Draft tokens put to the target."""
    accepted: int
    """How many of these were accepted: 0 <= accepted <= drafted. The bonus token is not counted.
    Where `drafts` are told, exactly as many as begin what was emitted (a rejected one may be
    replaced by itself); where a stop cut the block and all that is left of it are drafts, those
    behind the cut may be counted or not."""
    emitted: int
    """Tokens that reached the output: accepted + 1, unless a stop rule cut the block."""
    seconds: float | None = None
    """Wall time since the request's step before, or since its prompt was read."""
    rejected: int | None = None
    """The draft token that was rejected; None: none was, or the engine does not say."""
    drafts: tuple[int, ...] | None = None
    """The draft ids put to the target, `drafted` of them; None: the engine does not say."""
    draft_logprobs: tuple[float, ...] | None = None
    """ln q of each draft that was judged, from the very q that it was drawn from: the accepted ones
    in order, then the rejected one if one was. None: the engine does not say."""
    residual_log_weight: float | None = None
    """ln(p - q) of the token that came in the place of a rejected draft, not normalised, from the
    very numbers that it was drawn by. None: no draft was rejected, or the engine does not say."""

    @property
    def first_rejected(self) -> int | None:
        """The draft token that was rejected, named or found in `drafts`; None: as `rejected`."""
        if self.rejected is None and self.drafts and 0 <= self.accepted < len(self.drafts):
            return self.drafts[self.accepted]
        return self.rejected


class DraftCounts(Struct, frozen=True, kw_only=True):
    """What an engine says of a request's drafts where it does not report its steps."""

    drafted: int
    """Draft tokens put to the target."""
    accepted: int
    """How many of these were accepted; the bonus token is not counted."""
    steps: int | None = None
    """Verify steps; None: not told. Engines differ in whether steps without drafts count."""
    accepted_by_slot: tuple[int, ...] = ()
    """Accepted drafts by place in the block, first place first; empty: not told."""


class TokenScore(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the engine itself thought of one emitted token.

    Natural logs of the softmax over the logits after penalties, biases and bans, before
    temperature and truncation.
    """

    logprob: float
    rival: int
    """The most likely other token."""
    rival_logprob: float


class Generation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one engine produced for one request."""

    key: str
    token_ids: tuple[int, ...]
    """Emitted ids, including the eos or stop id that ended the text, never anything after it."""
    finish_reason: FinishReason
    prompt_tokens: int
    steps: tuple[Step, ...] = ()
    """One entry a verify step in order; plain decoding has drafted = 0. Empty: not reported."""
    counts: DraftCounts | None = None
    """Totals of the request's drafts, from engines that report no steps."""
    scores: tuple[TokenScore, ...] | None = None
    """One entry a token, or None where the engine gives no log-probabilities."""
    logit_digests: tuple[int, ...] | None = None
    """64-bit fingerprint of the target's logits row behind each token, where asked for."""
    prefill_seconds: float | None = None
    total_seconds: float | None = None

    @property
    def totals(self) -> DraftCounts | None:
        """Its drafts in total: of its steps, else what the engine counted; None: not told."""
        if (counted := getattr(self.steps, "totals", None)) is not None:  # packed
            return cast("DraftCounts", counted)
        if not self.steps:
            return self.counts
        accepted = [step.accepted for step in self.steps if step.drafted]
        most = max(accepted, default=0)
        return DraftCounts(
            drafted=sum(step.drafted for step in self.steps),
            accepted=sum(accepted),
            steps=len(self.steps),
            accepted_by_slot=tuple(sum(each > slot for each in accepted) for slot in range(most)),
        )

    @property
    def drafts_counted(self) -> Counts:
        """Drafted and accepted; 0 of 0 where nothing is told."""
        told = self.totals
        return (
            Counts(drafted=0, accepted=0)
            if told is None
            else Counts(drafted=told.drafted, accepted=told.accepted)
        )


Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""Number of drafts, as files hold it: larger ones have squares that no float holds."""


class Counts(Struct, frozen=True, kw_only=True, array_like=True):
    """What one prompt adds to a pooled acceptance rate."""

    drafted: Count
    """Draft tokens put to the target."""
    accepted: Count
    """How many of these were accepted; the bonus token is not counted."""
