"""The reference where a server scores: what it tells of tokens, in the place of a forward pass.

It computes in the engines' own numbers and not in higher ones, so what it calls a near tie is as
wide as two roundings make it. What it cannot tell is left out: then nobody has judged it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.engines.http.rows import TokenRows
from equivcheck.records.records import Gap
from equivcheck.scoring.agreement import BOTH
from equivcheck.scoring.penalties import changes_logits, penalise_output
from equivcheck.scoring.reference import DECIMALS, OutputScores, ReferenceLogits, ends_of, written
from equivcheck.scoring.served import ServerScorer, spread
from equivcheck.scoring.told import UnreportedMass


class ServedReference:
    """Scores tokens by a server."""

    def __init__(self, served: ServerScorer, *, eos_token_ids: Sequence[int]) -> None:
        """Take over a server that agrees with the target."""
        self.served, self.eos_token_ids = served, tuple(eos_token_ids)
        self.name = served.name

    def score(self, request: Request, output: Sequence[int]) -> OutputScores | None:
        """Score every token of an output; None: the server cannot."""
        if not output:
            return OutputScores((), ())
        found = self.rows(request, output)
        if found is None:
            return None
        distribution, told = found
        tokens = torch.tensor(output)
        own = distribution.logprobs.gather(1, tokens[:, None])[:, 0]
        highest, best = distribution.logprobs.max(dim=-1)
        return OutputScores(
            tuple(written(value) for value in own.tolist()),
            tuple(
                Gap(gap=written(gap), best=token, magnitude=round(BOTH * size, DECIMALS))
                for gap, token, size in zip(
                    (highest - own).tolist(), best.tolist(), told.magnitude.tolist(), strict=True
                )
            ),
        )

    def next_token(
        self, request: Request, prefix: Sequence[int], *, among: Sequence[int]
    ) -> ReferenceLogits | None:
        """The distribution of the token that follows ``prefix``, [vocab]; None: the server cannot
        tell it.

        Of what it does not tell, the tokens `among` are there, and the others minus infinity.
        """
        raw, logprobs, size = None, None, 0.0
        for token in among:
            found = self.rows(request, (*prefix, token))
            if found is None:
                return None
            distribution, told = found
            size = max(size, float(told.magnitude[-1]))
            if raw is None or logprobs is None:
                raw, logprobs = distribution.raw[-1].clone(), distribution.logprobs[-1].clone()
            logprobs[token] = distribution.logprobs[-1, token]
        if raw is None or logprobs is None:
            return None
        # What is asked of raw logits is how large they are.
        return ReferenceLogits(torch.full_like(raw, BOTH * size), logprobs)

    def rows(
        self, request: Request, output: Sequence[int]
    ) -> tuple[ReferenceLogits, UnreportedMass] | None:
        """Raw and penalised rows of an output, [tokens, vocab]; None: the server cannot tell."""
        [rows] = self.served.scorer.score([(request.prompt_ids, output)])
        if isinstance(rows, EngineError):
            return None
        self.served.logits = rows.logits
        changed = changes_logits(request)
        if not self.served.can_judge(request) or (changed and not rows.whole):
            return None
        logits, told = spread(rows, vocab=self.served.vocab)
        if changed:
            ends = ends_of(request, eos_token_ids=self.eos_token_ids)
            penalised = penalise_output(logits, request, output=output, first=0, end_ids=ends)
            return ReferenceLogits(logits, penalised.log_softmax(dim=-1)), told
        return ReferenceLogits(logits, normalised(logits, rows, output)), told


def normalised(logits: Tensor, rows: TokenRows, output: Sequence[int]) -> Tensor:
    """Log-probabilities where nothing was changed, the given tokens' among them."""
    if rows.logits:
        return logits.log_softmax(dim=-1)
    found = logits.clone()
    own = torch.from_numpy(rows.own).to(found)
    found[torch.arange(len(output)), torch.tensor(output)] = own
    return found
