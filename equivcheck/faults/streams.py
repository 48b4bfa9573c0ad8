"""F5: requests draw from the wrong random stream."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.verification import Proposal, Verified, leading
from equivcheck.faults.fault import fault

CLOCK = itertools.count(1)
"""Stands for a clock: never the same twice in a process, and the same in every process."""


@fault("seed-ignored", family="F5", recreates="vLLM #6038", caught_by="coupled")
class IgnoresSeed(Decoder):
    """The request's seed has no effect."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then take the seed out of the stream's key."""
        super().admit(row, request)
        self.rows.streams.keys[row, 0] = 0


@fault("stream-shared", family="F5", recreates="TensorRT-LLM #19487", caught_by="coupled")
class SharesStream(Decoder):
    """All requests draw from one stream."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then blank the stream's key."""
        super().admit(row, request)
        self.rows.streams.keys[row] = 0


@fault("stream-by-row", family="F5", recreates="1Cat-vLLM #656", caught_by="batching")
class SeedsByRow(Decoder):
    """A request's stream depends on the row that it happens to get."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then replace the stream."""
        super().admit(row, request)
        self.rows.streams.keys[row] = torch.full((3,), row, dtype=torch.int64)


@fault("stream-by-step", family="F5", recreates="TensorRT-LLM #17599", caught_by="batching")
class SeedsByStep(Decoder):
    """A request's stream depends on how many steps the engine has run before."""

    steps = 0

    def step(self, gamma: int) -> list[RowOutcome]:
        self.steps += 1
        return super().step(gamma)

    def admit(self, row: int, request: Request) -> None:
        """Admit, then add the count to the stream's key."""
        super().admit(row, request)
        self.rows.streams.keys[row, 0] += self.steps


@fault("seed-from-clock", family="F5", recreates="lattice #974", caught_by="determinism")
class SeedsFromClock(Decoder):
    """Each admission seeds its stream anew, as from a clock."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then replace the seed."""
        super().admit(row, request)
        self.rows.streams.keys[row, 0] = next(CLOCK)


@fault("reseeded-each-step", family="F5", recreates="vLLM #35398", caught_by="coupled")
class ReusesNoise(Decoder):
    """All slots of a step draw with the noise of its first."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Draw with one position a row where there should be one a slot."""
        first = self.rows.length[:, None].expand(-1, target_log_probs.shape[1])
        chosen = self.rule.draw(target_log_probs, self.rows, first)
        return Verified(chosen, leading(chosen[:, :-1] == proposal.tokens, proposal.lengths))


@fault(
    "empty-draft-advances",
    family="F5",
    recreates="vllm-ascend #13608",
    caught_by="coupled",
    engine="native:gamma=4,drafter=lookup",
)
class AdvancesOnEmptyDraft(Decoder):
    """A step without drafts advances the request's stream."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Verify, then move the streams of rows that had nothing to verify."""
        verified = super().verify(target_log_probs, proposal)
        self.rows.streams.keys[:, 0] += (proposal.lengths == 0).long()
        return verified
