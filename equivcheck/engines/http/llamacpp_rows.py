"""llama.cpp as a scorer: the best log-probabilities of one token behind each prefix.

Its API scores no given token, so each place is a request of its own, with the prefix in the cache.
What it tells (`n_probs`) is the softmax of the logits, before anything is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.core.generation import Request
from equivcheck.engines.http.dialect import read
from equivcheck.engines.http.llamacpp import COMPLETION, LlamacppDialect
from equivcheck.engines.http.rows import Place, TokenRows, token_rows


class Candidate(Struct, frozen=True, kw_only=True):
    """One of the best."""

    id: int
    logprob: float


class Decoded(Struct, frozen=True, kw_only=True):
    """The one token that was decoded."""

    top_logprobs: tuple[Candidate, ...]


class LlamacppProbsResponse(Struct, frozen=True, kw_only=True):
    """An answer of ``/completion`` that was asked for `n_probs`."""

    tokens_evaluated: int
    completion_probabilities: tuple[Decoded, ...]
    model: str | None = None


class LlamacppRows:
    """Scores by an open dialect."""

    def __init__(self, dialect: LlamacppDialect, *, wanted: int) -> None:
        """See that it gives log-probabilities, `wanted` a place.

        Raises:
            EngineError: it does not.
        """
        self.dialect = dialect
        self.most = min(wanted, dialect.pair.vocab_size)
        self.rows(prompt=(1,), output=(1,))

    def rows(self, *, prompt: Sequence[int], output: Sequence[int]) -> TokenRows:
        """What it holds of an output; of a token beyond the best, the least of them.

        Raises:
            EngineError: it tells fewer than asked for.
            EngineGoneError: another model answered.
        """
        places = []
        for at, token in enumerate(output):
            best = self.place((*prompt, *output[:at]))
            places.append(best if token in best else {**best, token: min(best.values())})
        return token_rows(places, output, vocab=self.dialect.pair.vocab_size, most=self.most)

    def place(self, prefix: Sequence[int]) -> Place:
        """The best behind a prefix."""
        wire = self.dialect.wire
        request = Request(key="scored", prompt_ids=tuple(prefix), max_new_tokens=1)
        asked = {"n_probs": self.most, "cache_prompt": True, "post_sampling_probs": False}
        reply = wire.post(COMPLETION, self.dialect.body(request) | asked)
        answer = read(reply, LlamacppProbsResponse, wire=wire, path=COMPLETION)
        if answer.model != self.dialect.model:
            raise EngineGoneError(f"{wire.url}: {answer.model} scored, not {self.dialect.model}")
        if answer.tokens_evaluated != len(prefix):
            raise EngineError(f"{wire.url}: it read another prompt than the one to score")
        if len(answer.completion_probabilities) != 1:
            raise EngineError(f"{wire.url}: answers without completion_probabilities")
        best = answer.completion_probabilities[0].top_logprobs
        if len(best) != self.most:
            raise EngineError(f"{wire.url}: {len(best)} of {self.most} log-probabilities")
        return {each.id: each.logprob for each in best}
