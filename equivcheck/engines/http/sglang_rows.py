"""SGLang as a scorer, by its published source: `logprob_start_len`. Not run against a real server.

The first entry that it gives is always null, so it is asked to start at the last token of the
prompt. Its log-probabilities of given tokens are before temperature.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from equivcheck.core.errors import EngineError
from equivcheck.engines.http.dialect import read
from equivcheck.engines.http.rows import TokenRows, token_rows
from equivcheck.engines.http.sglang import GENERATE, SglangDialect

Entry = tuple[float | None, int, str | None]
"""Log-probability, token, text."""


class SglangLogprobsMeta(Struct, frozen=True, kw_only=True):
    """``meta_info`` of an answer that was asked for its prompt's log-probabilities."""

    prompt_tokens: int
    input_token_logprobs: tuple[Entry, ...]
    input_top_logprobs: tuple[tuple[Entry, ...] | None, ...]


class SglangLogprobsResponse(Struct, frozen=True, kw_only=True):
    """An answer of ``/generate``."""

    meta_info: SglangLogprobsMeta


class SglangRows:
    """Scores by an open dialect."""

    def __init__(self, dialect: SglangDialect, *, wanted: int) -> None:
        """See that it gives log-probabilities, `wanted` a place.

        Raises:
            EngineError: it does not.
        """
        self.dialect = dialect
        self.most = min(wanted, dialect.pair.vocab_size)
        self.rows(prompt=(1,), output=(1,))

    def rows(self, *, prompt: Sequence[int], output: Sequence[int]) -> TokenRows:
        """What it holds of an output.

        Raises:
            EngineError: it scores something else, or refuses to.
        """
        wire, sent = self.dialect.wire, (*prompt, *output)
        body = {
            "input_ids": sent,
            "stream": False,
            "return_logprob": True,
            "logprob_start_len": len(prompt) - 1,
            "top_logprobs_num": self.most,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0.0, "ignore_eos": True},
        }
        meta = read(
            wire.post(GENERATE, body), SglangLogprobsResponse, wire=wire, path=GENERATE
        ).meta_info
        own, best = meta.input_token_logprobs[1:], meta.input_top_logprobs[1:]
        if meta.prompt_tokens != len(sent) or not len(own) == len(best) == len(output):
            raise EngineError(f"{wire.url}: it read another prompt than the one to score")
        places = []
        for token, (logprob, named, _), top in zip(output, own, best, strict=True):
            # The last id of a vocabulary is reported as 0.
            if logprob is None or top is None or named not in (token, 0):
                raise EngineError(f"{wire.url}: scores lack the token {token}")
            found = {each: value for value, each, _ in top if value is not None}
            places.append({**found, token: logprob})
        return token_rows(places, output, vocab=self.dialect.pair.vocab_size, most=self.most)
