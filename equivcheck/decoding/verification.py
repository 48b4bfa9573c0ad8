"""Verification rules: from target distributions and drafts to accepted tokens plus one more.

Each rule's output distribution is exactly the target's. `MatchRule` is greedy decoding and its
sampled generalisation (Daliri, Musco and Suresh 2024, drafter-invariant speculation);
`RejectionRule` is Leviathan et al. 2023 and Chen et al. 2023; `BlockRule` is Sun et al. 2024.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from equivcheck.decoding.rows import Rows
from equivcheck.decoding.streams import Purpose
from equivcheck.decoding.transforms import most_likely, probabilities


class Proposal(NamedTuple):
    """What a drafter proposes."""

    tokens: Tensor
    """[rows, gamma], int64."""
    lengths: Tensor
    """[rows], int64: how many of them are meant, 0 to gamma."""
    log_probs: Tensor | None
    """[rows, gamma, vocab]: unnormalised log-probabilities of each; None: a point mass."""


class Verified(NamedTuple):
    """What a step has decided."""

    tokens: Tensor
    """[rows, gamma + 1]: the accepted drafts, then one token of the target's, then junk."""
    accepted: Tensor
    """[rows]: accepted drafts; `accepted + 1` tokens are good."""
    draft_probs: Tensor | None = None
    """[rows, gamma]: q of each draft, as the rule used it; None: it uses none."""
    closing_weight: Tensor | None = None
    """[rows]: what the last token was drawn by, not normalised; None: the rule weighs none."""


class VerificationRule(Protocol):
    """How tokens are drawn, by the drafter too: the two have to agree."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """Draw a draft token from each of [rows, slots, vocab] at `positions` [rows, slots]."""
        ...

    def verify(self, log_probs: Tensor, proposal: Proposal, rows: Rows) -> Verified:
        """Judge a proposal by the target's distributions, [rows, gamma + 1, vocab]."""
        ...


def leading(hits: Tensor, lengths: Tensor) -> Tensor:
    """How many of each row's first `lengths` entries of `hits` are true before the first miss."""
    return (hits & meant(lengths, slots=hits.shape[1])).long().cumprod(dim=1).sum(dim=1)


def meant(lengths: Tensor, *, slots: int) -> Tensor:
    """Which slots hold a draft that is meant, [rows, slots]."""
    return torch.arange(slots, device=lengths.device) < lengths[:, None]


class MatchRule:
    """Draw with noise keyed by request and position; accept drafts while both draws agree.

    The target's draw does not depend on the drafts, so speculative and plain decoding emit the
    same tokens, at any temperature. Greedy rows have no noise.
    """

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """Argmax of log-probability plus the shared noise of each position."""
        return draw_with(Purpose.SHARED, log_probs, rows, positions)

    def verify(self, log_probs: Tensor, proposal: Proposal, rows: Rows) -> Verified:
        """Accept while the draft is what the target draws itself."""
        chosen = self.chosen(log_probs, rows)
        return Verified(chosen, leading(chosen[:, :-1] == proposal.tokens, proposal.lengths))

    def chosen(self, log_probs: Tensor, rows: Rows) -> Tensor:
        """What the target draws itself, [rows, gamma + 1]."""
        return self.draw(log_probs, rows, rows.upcoming(log_probs.shape[1]))


class AgreementRule(MatchRule):
    """The same, but drafts are drawn with noise of their own."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """Draw from the draft's own stream."""
        return draw_with(Purpose.DRAFT, log_probs, rows, positions)

    def chosen(self, log_probs: Tensor, rows: Rows) -> Tensor:
        """The target's draws, which no draft's noise decides."""
        return draw_with(Purpose.SHARED, log_probs, rows, rows.upcoming(log_probs.shape[1]))


class StepProbs(NamedTuple):
    """Probabilities in a step: what is wanted and what the drafts were drawn from."""

    target: Tensor
    """[rows, slots, vocab]"""
    draft: Tensor
    """[rows, slots, vocab]; without the last slot, which has no draft, in a whole step."""

    def padded(self) -> StepProbs:
        """The same with no draft, 0, in the last slot."""
        return self._replace(draft=torch.cat([self.draft, torch.zeros_like(self.target[:, :1])], 1))

    def at(self, slot: Tensor) -> StepProbs:
        """Both distributions in one `slot` [rows] of each row, [rows, 1, vocab]; no draft is 0."""
        index = slot[:, None, None].expand(-1, 1, self.target.shape[-1])
        return StepProbs(self.target.gather(1, index), self.padded().draft.gather(1, index))


class RejectionRule:
    """Accept a draft with probability min(1, p/q); replace the first rejected one."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """Draw from the draft's own stream."""
        return draw_with(Purpose.DRAFT, log_probs, rows, positions)

    def verify(self, log_probs: Tensor, proposal: Proposal, rows: Rows) -> Verified:
        """Accept or replace; after full acceptance draw a bonus token from the target."""
        draft_probs = proposed_probs(proposal, rows, vocab=log_probs.shape[-1])
        probs = StepProbs(probabilities(log_probs, rows.controls), draft_probs)
        accepted = leading(self.accepts(probs, proposal, rows), proposal.lengths)
        return self.closed(probs, proposal, rows, accepted=accepted)

    def closed(
        self, probs: StepProbs, proposal: Proposal, rows: Rows, *, accepted: Tensor
    ) -> Verified:
        """Put the step's last token behind the accepted drafts."""
        rejected = accepted < proposal.lengths
        last = self.last_token_probs(probs, rows, accepted=accepted, rejected=rejected)
        closing = self.sample_last(last, rows, accepted=accepted, rejected=rejected)
        tokens = torch.nn.functional.pad(proposal.tokens, (0, 1))
        told = probs.draft.gather(2, proposal.tokens[..., None])[..., 0]
        weight = last[:, 0].gather(1, closing)[:, 0]
        return Verified(tokens.scatter(1, accepted[:, None], closing), accepted, told, weight)

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        """Toss each draft's coin: true with probability min(1, p/q), [rows, gamma]."""
        drafts = proposal.tokens[..., None]
        positions = rows.upcoming(proposal.tokens.shape[1])
        coin = rows.streams.uniform(positions, Purpose.ACCEPT, width=1)
        # Strict: a coin of exactly 0 must not accept a token the target rules out.
        hits = coin * probs.draft.gather(2, drafts) < probs.target[:, :-1].gather(2, drafts)
        return hits[..., 0]

    def last_token_probs(
        self, probs: StepProbs, rows: Rows, *, accepted: Tensor, rejected: Tensor
    ) -> Tensor:
        """The unnormalised distribution of the step's last token, [rows, 1, vocab].

        Args:
            probs: of the whole step.
            rows: the batch.
            accepted: [rows], drafts before it.
            rejected: [rows], whether it stands in the place of a rejected draft.
        """
        end = probs.at(accepted)
        last = torch.where(rejected[:, None, None], self.residual(end), end.target)
        # Where rounding left p = q everywhere, nothing could have been rejected but by a hair.
        return torch.where(last.sum(dim=-1, keepdim=True) > 0, last, end.target)

    def residual(self, probs: StepProbs) -> Tensor:
        """What the target gives beyond the draft, in one slot: max(p - q, 0)."""
        return (probs.target - probs.draft).clamp(min=0)

    def sample_last(
        self, probs: Tensor, rows: Rows, *, accepted: Tensor, rejected: Tensor
    ) -> Tensor:
        """Draw the step's last token from `last_token_probs`, [rows, 1]."""
        purpose = torch.where(rejected[:, None], int(Purpose.RESIDUAL), int(Purpose.BONUS))
        position = (rows.length + accepted)[:, None]
        noise = rows.streams.gumbel(position, purpose, width=probs.shape[-1])
        return most_likely(probs.log() + noise)


class OneHotRule(RejectionRule):
    """Take each draft, the most likely one, for certain: q is 1 on it."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        del rows, positions
        return most_likely(log_probs)

    def verify(self, log_probs: Tensor, proposal: Proposal, rows: Rows) -> Verified:
        """Judge drafts as if nothing else could have been drafted."""
        return super().verify(log_probs, proposal._replace(log_probs=None), rows)


class BlockRule(RejectionRule):
    """Accept the longest prefix of the block that its own coin lets pass.

    Algorithm 2 of Sun et al. 2024 (arXiv 2403.10444). p_0 = 1, and p_i = min(1, p_{i-1} p/q) of
    draft i is what i drafts carry on. They pass with probability h_i = r_i / (r_i + 1 - p_i), r_i
    being the mass of max(p_i p - q, 0), from which the next token is drawn where no more of them
    pass. Behind the last draft q is 0, so that h_i is p_i there, and that token's distribution is
    p.
    """

    def verify(self, log_probs: Tensor, proposal: Proposal, rows: Rows) -> Verified:
        """Accept for the whole block, then close it by p carried, as a single draft is by p."""
        drafted = meant(proposal.lengths, slots=proposal.tokens.shape[1])[..., None]
        draft_probs = proposed_probs(proposal, rows, vocab=log_probs.shape[-1]) * drafted
        probs = StepProbs(probabilities(log_probs, rows.controls), draft_probs)
        joint = self.joint(probs, proposal)
        carried = probs._replace(target=joint[..., None] * probs.target)
        accepted = longest(self.passes(carried, joint, rows), proposal.lengths)
        return self.closed(carried, proposal, rows, accepted=accepted)

    def joint(self, probs: StepProbs, proposal: Proposal) -> Tensor:
        """p_i of each prefix, [rows, gamma + 1], the empty one's first."""
        target, draft = drafted_probs(probs, proposal)
        found = [torch.ones_like(probs.target[:, 0, 0])]
        for ratio in (target / draft).unbind(dim=1):
            found.append((found[-1] * ratio).clamp(max=1.0))
        return torch.stack(found, dim=1)

    def passes(self, carried: StepProbs, joint: Tensor, rows: Rows) -> Tensor:
        """Toss the coin of each prefix but the empty one: true with probability h_i."""
        left = self.left(carried)[:, 1:]
        positions = rows.upcoming(left.shape[1])
        coin = rows.streams.uniform(positions, Purpose.ACCEPT, width=1)[..., 0]
        return coin * (left + (1.0 - joint[:, 1:])) < left

    def left(self, carried: StepProbs) -> Tensor:
        """r_i of each prefix, [rows, gamma + 1]."""
        target, draft = carried.padded()
        return (target - draft).clamp(min=0).sum(dim=-1)


def longest(passes: Tensor, lengths: Tensor) -> Tensor:
    """The size of each row's longest prefix that passes, of those of 1 to `lengths`; else 0."""
    sizes = torch.arange(1, passes.shape[1] + 1, device=passes.device)
    passing = torch.where(passes & (sizes <= lengths[:, None]), sizes, 0)
    return torch.nn.functional.pad(passing, (1, 0)).amax(dim=1)


def drafted_probs(probs: StepProbs, proposal: Proposal) -> tuple[Tensor, Tensor]:
    """The target's and the draft's probability of each draft, [rows, gamma] each."""
    drafts = proposal.tokens[..., None]
    target = probs.target[:, : drafts.shape[1]].gather(2, drafts)[..., 0]
    return target, probs.draft.gather(2, drafts)[..., 0]


def draw_with(purpose: Purpose, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
    """Gumbel-max draw from one purpose's stream; greedy rows take the argmax."""
    if not rows.controls.features.random:
        return most_likely(log_probs)
    noise = rows.streams.gumbel(positions, purpose, width=log_probs.shape[-1])
    greedy = rows.controls.greedy[:, None, None]
    return most_likely(torch.where(greedy, log_probs, log_probs + noise))


def proposed_probs(proposal: Proposal, rows: Rows, *, vocab: int) -> Tensor:
    """The distributions the drafts were drawn from, [rows, gamma, vocab]."""
    if proposal.log_probs is not None:
        return probabilities(proposal.log_probs, rows.controls)
    point = torch.zeros((*proposal.tokens.shape, vocab), device=proposal.tokens.device)
    return point.scatter_(2, proposal.tokens[..., None], 1.0)
