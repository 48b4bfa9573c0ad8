"""Rejection sampling done wrongly: drafts accepted too readily, or wrongly replaced.

Each is a rule with one method overridden. Only outputs that are sampled by the rejection rule show
it: greedy and coupled decoding keep their own rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar, cast

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.streams import Purpose
from equivcheck.decoding.verification import Proposal, RejectionRule, StepProbs, drafted_probs
from equivcheck.faults.fault import DRAWS, Breaks, fault

ENGINE = "native:gamma=4,rule=rejection"
LENIENCE = 0.9
EPSILON, DELTA = 0.09, 0.3
"""Typical acceptance: accept p(d) > min(epsilon, delta * exp(-entropy)) (Cai et al. 2024)."""

Rule = TypeVar("Rule", bound=type[RejectionRule])


class OtherRule(Decoder):
    """Base: decodes by a broken rule where it would by the rejection rule."""

    broken: ClassVar[type[RejectionRule]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if isinstance(self.rule, RejectionRule):
            self.rule = self.broken()


def rule_fault(
    fault_id: str,
    *,
    family: str,
    recreates: str,
    caught_by: str = "sampled",
    breaks: Breaks = "losslessness",
    engine: str = ENGINE,
    label: Literal["lossy"] | None = None,
    draws: int = DRAWS,
) -> Callable[[Rule], Rule]:
    """Put a broken rule into the catalogue; its docstring's first line is the summary.

    Raises:
        ValueError: the id is taken, or the family unknown.
    """

    def register(rule: Rule) -> Rule:
        members = {"__doc__": rule.__doc__, "__module__": rule.__module__, "broken": rule}
        decoder = cast(type[Decoder], type(rule.__name__, (OtherRule,), members))
        fault(
            fault_id,
            family=family,
            recreates=recreates,
            caught_by=caught_by,
            breaks=breaks,
            engine=engine,
            label=label,
            draws=draws,
        )(decoder)
        return rule

    return register


def coins(rows: Rows, *, slots: int, width: int = 1) -> Tensor:
    """The uniform numbers that decide about drafts, [rows, slots, width]; the rule uses the first.

    Those behind the first are independent of it.
    """
    return rows.streams.uniform(rows.upcoming(slots), Purpose.ACCEPT, width=width)


@rule_fault("accepts-every-draft", family="F1", recreates="vllm-ascend #13730")
class AcceptsEveryDraft(RejectionRule):
    """The coin that decides about a draft is always 0."""

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        return torch.ones_like(proposal.tokens, dtype=torch.bool)


@rule_fault("coin-zero-or-one", family="F1", recreates="vLLM #13196")
class TossesRealCoins(RejectionRule):
    """The coin is 0 or 1: where p < q, half of all drafts are accepted whatever p/q is."""

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        """Accept one half where the ratio should decide."""
        target, draft = drafted_probs(probs, proposal)
        coin = coins(rows, slots=proposal.tokens.shape[1])[..., 0]
        return (target >= draft) | (coin < 0.5)


@rule_fault("lenience", family="F1", recreates="sglang #7702")
class IsLenient(RejectionRule):
    """A draft is accepted with probability min(1, p / (0.9 q))."""

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        return super().accepts(probs._replace(target=probs.target / LENIENCE), proposal, rows)


class Leaks(RejectionRule):
    """Base: lets a share of all drafts pass without looking, so that (1 - e) p + e q comes out."""

    share: ClassVar[float]

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        """Toss a second coin for each draft."""
        second = coins(rows, slots=proposal.tokens.shape[1], width=2)[..., 1]
        return super().accepts(probs, proposal, rows) | (second < self.share)


@rule_fault("leak-5", family="F1", recreates="lattice #243 (one draft in twenty)", draws=60_000)
class LeaksFivePercent(Leaks):
    """One draft in twenty is committed without being verified."""

    share = 0.05


@rule_fault("leak-1", family="F1", recreates="lattice #243 (one draft in a hundred)", draws=600_000)
class LeaksOnePercent(Leaks):
    """One draft in a hundred is committed without being verified."""

    share = 0.01


@rule_fault("typical-acceptance-rejection", family="F21", recreates="vLLM #5131", label="lossy")
class IsTypical(RejectionRule):
    """A draft passes by the target's entropy, and is replaced by the target's best token."""

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        """Accept what is not too surprising."""
        target = probs.target[:, :-1]
        entropy = -torch.xlogy(target, target).sum(dim=-1)
        limit = (DELTA * (-entropy).exp()).clamp(max=EPSILON)
        return drafted_probs(probs, proposal)[0] > limit

    def residual(self, probs: StepProbs) -> Tensor:
        """A point mass on the best token."""
        best = probs.target.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(probs.target).scatter_(-1, best, 1.0)


@rule_fault("recovers-from-target", family="F2", recreates="Spec-RL #14")
class RecoversFromTarget(RejectionRule):
    """The token in the place of a rejected draft is drawn from p, not from p beyond q."""

    def residual(self, probs: StepProbs) -> Tensor:
        """Leave the draft out of it."""
        return probs.target


@rule_fault("recovers-from-next-slot", family="F7", recreates="TensorRT-LLM #15098")
class RecoversFromNextSlot(RejectionRule):
    """The replacement of a rejected draft is drawn from the distribution of the slot behind it."""

    def last_token_probs(
        self, probs: StepProbs, rows: Rows, *, accepted: Tensor, rejected: Tensor
    ) -> Tensor:
        """Shift the target's distributions by one."""
        later = torch.cat([probs.target[:, 1:], probs.target[:, -1:]], dim=1)
        shifted = probs._replace(target=later)
        return super().last_token_probs(shifted, rows, accepted=accepted, rejected=rejected)


def at_temperature_one(probs: Tensor, rows: Rows) -> Tensor:
    """The distribution at temperature 1, cut as it is, of [rows, slots, vocab]."""
    return (probs.log() * rows.controls.safe_temperature[:, None, None]).softmax(dim=-1)


class ResidualByTemperature(RejectionRule):
    """A rejection rule whose residual reads the temperature of each row."""

    rows: Rows

    def last_token_probs(
        self, probs: StepProbs, rows: Rows, *, accepted: Tensor, rejected: Tensor
    ) -> Tensor:
        """Keep the batch for `residual`."""
        self.rows = rows
        return super().last_token_probs(probs, rows, accepted=accepted, rejected=rejected)


@rule_fault("residual-target-untempered", family="F2", recreates="vLLM #10198")
class ForgetsTargetTemperature(ResidualByTemperature):
    """The residual takes the target's distribution at temperature 1 and the draft's as it was."""

    def residual(self, probs: StepProbs) -> Tensor:
        hot = probs._replace(target=at_temperature_one(probs.target, self.rows))
        return super().residual(hot)


@rule_fault("residual-untempered", family="F2", recreates="lattice #388")
class ForgetsTemperatures(ResidualByTemperature):
    """The residual is that of temperature 1."""

    def residual(self, probs: StepProbs) -> Tensor:
        """Take both distributions at temperature 1."""
        both = StepProbs(
            at_temperature_one(probs.target, self.rows), at_temperature_one(probs.draft, self.rows)
        )
        return super().residual(both)
