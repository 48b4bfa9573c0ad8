"""Block verification, enumerated: every block of drafts, every number accepted, every ending.

In fp64, on distributions of three words that depend on all words before them. The output has to
have the target's distribution to the last digits, and the stages those of `scoring/stages`.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from equivcheck.decoding.verification import BlockRule, Proposal, StepProbs
from equivcheck.scoring.carried import CarriedWeights
from equivcheck.scoring.distributions import untruncated
from equivcheck.scoring.stages import Staged
from equivcheck.scoring.wrong_distributions import DistributionPair

WORDS = 3
Text = tuple[int, ...]
Texts = dict[Text, float]


class Model:
    """A random distribution behind each text; some rule words out."""

    def __init__(self, seed: int) -> None:
        self.random, self.known = torch.Generator().manual_seed(seed), dict[Text, Tensor]()

    def probs(self, text: Text) -> Tensor:
        if text not in self.known:
            weights = torch.rand(WORDS, generator=self.random, dtype=torch.float64) ** 2
            if float(torch.rand((), generator=self.random)) < 0.3:
                weights[len(self.known) % WORDS] = 0.0
            self.known[text] = weights / weights.sum()
        return self.known[text]

    def probability(self, text: Text) -> float:
        return math.prod(float(self.probs(text[:at])[word]) for at, word in enumerate(text))


class Outcome(NamedTuple):
    """One way in which a step can come out."""

    drafts: Text
    accepted: int
    probs: Tensor
    """Of the last token."""
    probability: float


def outcomes(target: Model, draft: Model, *, gamma: int, lengths: int) -> Iterator[Outcome]:
    """All that a step can come to with so many drafts of gamma that are meant."""
    rule = BlockRule()
    for drafts in itertools.product(range(WORDS), repeat=gamma):
        if (drawn := draft.probability(drafts)) == 0.0:
            continue
        wanted = torch.stack([target.probs(drafts[:at]) for at in range(gamma + 1)])[None]
        given = torch.stack([draft.probs(drafts[:at]) for at in range(gamma)])[None]
        given[:, lengths:] = 0.0
        probs = StepProbs(wanted, given)
        joint = rule.joint(probs, Proposal(torch.tensor([drafts]), torch.tensor([lengths]), None))
        carried = probs._replace(target=joint[..., None] * wanted)
        left, beyond = rule.left(carried)[0], carried.padded()
        for accepted in range(lengths, -1, -1):
            lost = float(left[accepted] + 1.0 - joint[0, accepted])
            passes = float(left[accepted]) / lost if accepted and lost > 0 else float(not accepted)
            residual = (beyond.target - beyond.draft).clamp(min=0)[0, accepted]
            if passes > 0:
                yield Outcome(drafts, accepted, residual / residual.sum(), drawn * passes)
            drawn *= 1.0 - passes


def continued(text: Text, probability: float, target: Model, *, length: int) -> Iterator[Texts]:
    """A text that goes on from the target's distribution."""
    for more in itertools.product(range(WORDS), repeat=length - len(text)):
        whole = text + more
        rest = target.probability(whole) / target.probability(text)
        yield {whole: probability * rest}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("gamma", "lengths"), [(1, 1), (2, 2), (3, 3), (4, 4), (4, 2), (3, 0)])
def test_blocks_and_what_closes_them_are_the_targets_distribution(
    gamma: int, lengths: int, seed: int
) -> None:
    target, draft, length = Model(seed), Model(100 + seed), gamma + 1
    found = defaultdict[Text, float](float)
    for step in outcomes(target, draft, gamma=gamma, lengths=lengths):
        for word in torch.nonzero(step.probs)[:, 0].tolist():
            text = (*step.drafts[: step.accepted], word)
            probability = step.probability * float(step.probs[word])
            for part in continued(text, probability, target, length=length):
                for whole, share in part.items():
                    found[whole] += share
    for text in itertools.product(range(WORDS), repeat=length):
        assert abs(found[text] - target.probability(text)) < 1e-12, text


@pytest.mark.parametrize("seed", range(4))
def test_the_stages_have_the_distributions_that_scores_hold_them_to(seed: int) -> None:
    """Given what was accepted, and that no fewer drafts were: the next draft, and its fate."""
    target, draft, gamma = Model(seed), Model(100 + seed), 3
    reached, drafted, kept, closed = (defaultdict[Text, float](float) for _ in range(4))
    for step in outcomes(target, draft, gamma=gamma, lengths=gamma):
        drafts, accepted = step.drafts, step.accepted
        for at in range(accepted + 1):
            reached[drafts[:at]] += step.probability
            if at < gamma:
                drafted[drafts[: at + 1]] += step.probability
                kept[drafts[: at + 1]] += step.probability * (accepted > at)
        if accepted < gamma:
            for word in range(WORDS):
                closed[(*drafts[:accepted], word)] += step.probability * float(step.probs[word])
    texts = [text for text in reached if len(text) < gamma and reached[text] > 1e-15]
    assert len(texts) > 4
    for text in texts:
        staged = staged_behind(text, target, draft)
        for word in range(WORDS):
            whole = (*text, word)
            share = drafted[whole] / reached[text]
            assert abs(float(staged.drafts()[0, word]) - share) < 1e-12, whole
            if drafted[whole] > 1e-15:
                p, q = (
                    model.probs(text)[word].log().clamp(min=-1e9)[None] for model in (target, draft)
                )
                odds = float(staged.acceptance(target=p, draft=q)[0])
                assert abs(odds - kept[whole] / drafted[whole]) < 1e-12, whole
            if (mass := sum(closed[(*text, each)] for each in range(WORDS))) > 1e-15:
                residual = staged.residual / staged.mass
                assert abs(float(residual[0, word]) - closed[whole] / mass) < 1e-12, whole


def staged_behind(text: Text, target: Model, draft: Model) -> Staged:
    """The stages behind accepted drafts, as scoring has them."""
    weight = 0.0
    for at, word in enumerate(text):
        ratio = float(target.probs(text[:at])[word] / draft.probs(text[:at])[word])
        weight = min(0.0, weight + math.log(ratio))
    probs = [
        untruncated(model.probs(text).log().clamp(min=-1e9)[None]) for model in (target, draft)
    ]
    log = torch.tensor([weight], dtype=torch.float64)
    return Staged(
        DistributionPair(*probs), CarriedWeights(log, log, log, torch.ones(1, dtype=torch.bool))
    )


def test_of_certain_drafts_the_block_rule_is_the_token_rule() -> None:
    """The next draft is accepted with probability p(d), whatever was carried."""
    for joint in (1.0, 0.7, 0.02):
        probs = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
        point = torch.tensor([[0.0, -1e9, -1e9]], dtype=torch.float64)
        log = torch.tensor([math.log(joint)], dtype=torch.float64)
        weights = CarriedWeights(log, log, log, torch.ones(1, dtype=torch.bool))
        staged = Staged(DistributionPair(untruncated(probs.log()), untruncated(point)), weights)
        zero = torch.zeros(1, dtype=torch.float64)
        torch.testing.assert_close(
            staged.acceptance(target=probs[:, 0].log(), draft=zero), probs[:, 0]
        )
        torch.testing.assert_close(staged.drafts(), point.exp())
