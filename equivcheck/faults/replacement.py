"""F2: the token in the place of a rejected draft is wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault


@fault("late-rejection", family="F2", recreates="openvino.genai #4190", caught_by="coupled")
class RejectsLate(Decoder):
    """At a temperature the text gets the replacement, but what follows it continues the draft."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        verified = super().verify(target_log_probs, proposal)
        drafts = torch.nn.functional.pad(proposal.tokens, (0, 1))
        self.draft = drafts.gather(1, verified.accepted[:, None])[:, 0]
        self.rejected = verified.accepted < proposal.lengths
        return verified

    def commit(self, verified: Verified) -> None:
        """Commit, then let the rejected draft be the last known token."""
        super().commit(verified)
        last = self.rows.length[:, None] - 1
        late = (self.rejected & ~self.rows.controls.greedy)[:, None]
        kept = torch.where(late, self.draft[:, None], self.rows.tokens.gather(1, last))
        self.rows.tokens.scatter_(1, last, kept)


@fault("rejected-stays-impossible", family="F2", recreates="vllm-ascend #2881", caught_by="greedy")
class RemembersRejections(Decoder):
    """A draft that was rejected once has probability 0 for the rest of the request."""

    def admit(self, row: int, request: Request) -> None:
        """Forget the last request's rejections."""
        super().admit(row, request)
        if not hasattr(self, "impossible"):
            self.impossible = torch.zeros_like(self.rows.counts, dtype=torch.bool)
        self.impossible[row] = False

    def sharpened(self, penalised: Tensor) -> Tensor:
        probs = super().sharpened(penalised)
        return probs.masked_fill(self.impossible[:, None], float("-inf"))

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        verified = super().verify(target_log_probs, proposal)
        drafts = torch.nn.functional.pad(proposal.tokens, (0, 1))
        draft = drafts.gather(1, verified.accepted[:, None])
        rejected = (verified.accepted < proposal.lengths)[:, None]
        self.impossible.scatter_(1, draft, self.impossible.gather(1, draft) | rejected)
        return verified


@fault(
    "id-beyond-vocabulary",
    family="F2",
    recreates="vLLM GHSA-8wr5-jm2h-8r4f",
    caught_by="stopping",
    schedules=("plain",),
)
class DrawsBeyondVocabulary(Decoder):
    """Some replacements come out as ids past the end of the vocabulary."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Add the vocabulary's size to every fifth id that replaces a draft."""
        size = self.model.architecture.vocab
        return [
            row._replace(tokens=[*row.tokens[:-1], row.tokens[-1] + size])
            if row.rejected is not None and row.tokens[-1] % 5 == 0
            else row
            for row in super().step(gamma)
        ]
