"""A pair small enough to know all of: 16 tokens, 16 contexts, distributions in two tables.

It runs through the real decode loop, with a table in the place of each model's forward pass, so
that what decodes is what is tested. Contexts repeat, so the whole distribution of each can be
compared with the target's, token by token, which no test on free text can do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request
from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import chunk_on
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import Proposal, RejectionRule, VerificationRule

VOCABULARY = CONTEXTS = 16
STRIDE = 5
"""A position moves the context by this much, so that all contexts come up equally often."""
TOKENS, GAMMA, WIDTH = 64, 4, 8
Asked = list[tuple[Request, Generation]]


def context_of(tokens: Tensor, positions: Tensor) -> Tensor:
    """Context behind each token, by the token and where it stands."""
    return (tokens + STRIDE * positions) % CONTEXTS


class TabularModel(StaticModel):
    """Stands in for a model: the logits behind a token are a row of a table."""

    def __init__(self, table: Tensor, *, positions: int) -> None:
        """Take a table of logits, fp32, [CONTEXTS, VOCABULARY]. There are no weights to prepare."""
        self.table = table
        self.architecture = Architecture(
            family="tabular",
            layers=1,
            hidden=table.shape[1],
            heads=1,
            kv_heads=1,
            head_dim=1,
            vocab=table.shape[1],
            norm_eps=0.0,
            activation="silu",
            norm_offset=0.0,
            embedding_scale=1.0,
            query_key_norm=False,
            windows=(None,),
        )
        self.backend = STOCK
        self.key_positions = torch.arange(positions)
        self.reaches = (positions,)

    @property
    def dtype(self) -> torch.dtype:
        """Of the table."""
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        """Where the table lies."""
        return self.table.device

    def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
        """Look the logits up; a cache is not needed."""
        positions = start[:, None] + self.key_positions[: tokens.shape[1]]
        return self.table[context_of(tokens, positions)]

    def logits(self, hidden: Tensor) -> Tensor:
        """They have been looked up already."""
        return hidden


@dataclasses.dataclass(frozen=True, kw_only=True)
class TabularPair:
    """Target and draft as tables of logits, [CONTEXTS, VOCABULARY] each."""

    target: Tensor
    draft: Tensor

    @classmethod
    def make(cls, *, seed: int = 0, distance: float = 0.3) -> Self:
        """Random distributions, at temperature 1 `distance` apart (mean total variation)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (CONTEXTS, VOCABULARY)
        target = 1.5 * torch.randn(shape, generator=generator)
        noise = torch.randn(shape, generator=generator)
        low, high = 0.0, 16.0
        for _ in range(40):
            middle = (low + high) / 2
            near = mean_distance(target, target + middle * noise) < distance
            low, high = (middle, high) if near else (low, middle)
        return cls(target=target, draft=target + low * noise)

    def probs(self, sampling: Sampling) -> NDArray[np.float64]:
        """The distribution of every context, [CONTEXTS, VOCABULARY]. Knows temperature only."""
        return (self.target.double() / sampling.temperature).softmax(dim=-1).numpy()

    def decoder(
        self,
        kind: type[Decoder] = Decoder,
        *,
        rows: int = 256,
        one_hot: bool = False,
        rule: VerificationRule | None = None,
    ) -> Decoder:
        """A decoder, or a broken one; its drafts drawn or, if so, certain.

        Args:
            kind: of decoder.
            rows: of its batch.
            one_hot: whether drafts are certain.
            rule: None is the rejection rule.
        """
        positions = TOKENS + 2 + max(chunk_on(self.target.device), WIDTH)
        draft = TabularModel(self.draft, positions=positions)
        return kind(
            TabularModel(self.target, positions=positions),
            rows=rows,
            width=WIDTH,
            rule=rule or RejectionRule(),
            drafter=(CertainDrafter if one_hot else ModelDrafter)(draft, rows=rows),
            gamma=GammaPolicy(GAMMA),
            eos_token_ids=(),
            detokenise=lambda tokens: "",
        )

    def drawn(
        self,
        kind: type[Decoder] = Decoder,
        *,
        outputs: int,
        sampling: Sampling,
        seed: int = 0,
        cases: int = 32,
        one_hot: bool = False,
        rule: VerificationRule | None = None,
    ) -> Asked:
        """Draw outputs of `TOKENS` tokens, in rounds over so many cases, in the order asked."""
        requests = [
            Request(
                key=f"tabular/{index % cases:02}#{index // cases}",
                prompt_ids=(index % cases // CONTEXTS, index % VOCABULARY),
                max_new_tokens=TOKENS,
                sampling=sampling,
                ignore_eos=True,
                seed=seed * 1_000_003 + index,
            )
            for index in range(outputs)
        ]
        decoder = self.decoder(kind, one_hot=one_hot, rule=rule)
        found = {answer.key: answer for answer in decoder.run(requests)}
        return [(request, found[request.key]) for request in requests]


class CertainDrafter(ModelDrafter):
    """Proposes the draft model's most likely tokens, as a greedy draft model does: q is one-hot."""

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Draft by argmax, and say so."""
        del rule
        proposal = super().propose(rows, MostLikely(), gamma=gamma, unread=unread)
        return proposal._replace(log_probs=None)


class MostLikely(RejectionRule):
    """Draws without noise."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """The argmax."""
        del rows, positions
        return log_probs.argmax(dim=-1)


def mean_distance(target: Tensor, draft: Tensor) -> float:
    """Mean total variation distance of two tables of logits."""
    difference = target.double().softmax(dim=-1) - draft.double().softmax(dim=-1)
    return float(difference.abs().sum(dim=-1).mean() / 2)


def contexts(asked: Asked) -> NDArray[np.int64]:
    """The context that each output token was drawn in, output by output: [N]."""
    return np.concatenate(list(_contexts(asked)))


def _contexts(asked: Asked) -> Iterator[NDArray[np.int64]]:
    for request, generation in asked:
        before = torch.tensor([request.prompt_ids[-1], *generation.token_ids[:-1]])
        first = len(request.prompt_ids) - 1
        yield context_of(before, torch.arange(first, first + len(before))).numpy()


def counts(asked: Asked, *, each: int) -> NDArray[np.int64]:
    """How often each token came in the first `each` visits of a context, [CONTEXTS, VOCABULARY].

    A number fixed beforehand, as how often a context is visited depends on what was drawn.

    Raises:
        ValueError: a context was visited less often.
    """
    tokens = np.concatenate([generation.token_ids for _, generation in asked])
    where = contexts(asked)
    order = np.argsort(where, kind="stable")
    visits = np.bincount(where, minlength=CONTEXTS)
    if visits.min() < each:
        raise ValueError(f"a context was visited {visits.min()} times, {each} are to be counted")
    turn = np.arange(len(where)) - np.repeat(np.cumsum(visits) - visits, visits)
    kept = order[turn < each]
    found = np.zeros((CONTEXTS, VOCABULARY), np.int64)
    np.add.at(found, (where[kept], tokens[kept]), 1)
    return found
