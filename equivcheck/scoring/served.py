"""Rows from a server that scores, in the place of a model's own; no weights are read here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.engines.http.rows import TokenRows
from equivcheck.engines.http.scorer import HttpScorer
from equivcheck.scoring.forcing import OutputWindow
from equivcheck.scoring.told import UnreportedMass

LARGEST_LOGIT = 32.0
"""What logits are taken to lie under where they are not told: log-probabilities of the best tokens
do not show how large logits are. As the tolerances of log-probabilities take them."""
AT_ONCE = 64
"""Outputs that are asked for in one go: bounds what waits in memory."""


class ServerScorer:
    """Scores by URL."""

    device = torch.device("cpu")

    def __init__(self, scorer: HttpScorer) -> None:
        """Take over an open scorer."""
        self.scorer, self.vocab = scorer, scorer.vocab
        self.name = scorer.name
        self.agreed = ""
        """How it agrees with the target, once that was seen."""
        self.logits: bool | None = None
        """Whether it tells logits; None: not seen yet."""

    def read(
        self, prompt: Sequence[int], outputs: Sequence[Sequence[int]]
    ) -> Iterator[OutputWindow]:
        """A window an output.

        Raises:
            EngineError: the server does not score one. It is not left out: which outputs a server
                refuses may depend on what was drawn, and what is left would follow another
                distribution.
            EngineGoneError: the server is gone, or has another model.
        """
        for start in range(0, len(outputs), AT_ONCE):
            batch = outputs[start : start + AT_ONCE]
            found = self.scorer.score([(prompt, output) for output in batch])
            for place, rows in enumerate(found, start=start):
                if isinstance(rows, EngineError):
                    raise EngineError(f"an output is not scored: {rows}") from rows
                self.logits = rows.logits
                logits, told = spread(rows, vocab=self.vocab)
                yield OutputWindow(output=place, first=0, logits=(logits,), told=told)

    def can_judge(self, request: Request) -> bool:
        """Whether it can score a request whatever is drawn for it.

        A repetition penalty multiplies logits, and log-probabilities do not tell these. Behind the
        longest output a server decodes one token more.
        """
        context, longest = self.scorer.context, len(request.prompt_ids) + request.max_new_tokens
        fits = context is None or longest < context
        return fits and (request.sampling.repetition_penalty == 1.0 or self.logits is True)


def spread(rows: TokenRows, *, vocab: int) -> tuple[Tensor, UnreportedMass]:
    """Rows over the whole vocabulary, [tokens, vocab], minus infinity where nothing is told."""
    values = torch.from_numpy(rows.values.astype(np.float32))
    logits = torch.full((len(values), vocab), -math.inf)
    logits.scatter_(1, torch.from_numpy(rows.ids), values)
    finite = np.isfinite(rows.values)
    lowest = np.where(finite, rows.values, math.inf).min(axis=1, initial=math.inf)
    highest = np.where(finite, rows.values, -math.inf).max(axis=1, initial=-math.inf)
    if rows.logits:
        magnitude = np.maximum(np.abs(lowest), np.abs(highest))
    elif rows.whole:
        # Logits lie on both sides of zero, so none is larger than the span of all.
        magnitude = highest - lowest
    else:
        magnitude = np.maximum(-lowest, LARGEST_LOGIT)
    rest = 0.0 if rows.whole else np.clip(1.0 - np.exp(rows.values).sum(axis=1), 0.0, 1.0)
    least = np.full(len(values), -math.inf) if rows.whole else rows.values[:, -1]
    return logits, UnreportedMass(
        least=torch.from_numpy(np.asarray(least)),
        rest=torch.from_numpy(np.broadcast_to(rest, len(values)).copy()),
        magnitude=torch.from_numpy(magnitude),
        untold=0 if rows.whole else vocab - rows.values.shape[1],
    )
