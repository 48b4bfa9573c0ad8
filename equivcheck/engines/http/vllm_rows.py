"""vLLM as a scorer: `prompt_logprobs` of prompt and output, as of 0.32.

The tokens of a prompt pass no penalty, temperature or cut, so that raw and processed ones are the
same there; the modes of `--logprobs-mode` that are named after logits give logits. At least one
token has to be decoded behind them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.engines.http.completions import COMPLETIONS
from equivcheck.engines.http.dialect import read
from equivcheck.engines.http.rows import Greedy, TokenRows, token_rows
from equivcheck.engines.http.vllm import VllmDialect

_MOST = re.compile(r"greater than max allowed: (\d+)")
USUAL_MOST = 20
"""What a server gives that was started without ``--max-logprobs``."""


class VllmLogprob(Struct, frozen=True):
    """One log-probability."""

    logprob: float


class ScoredChoice(Struct, frozen=True, kw_only=True):
    """The one choice, with its prompt's log-probabilities; those of the first token are null."""

    prompt_logprobs: tuple[dict[int, VllmLogprob] | None, ...] | None = None
    prompt_token_ids: tuple[int, ...] | None = None


class ScoredAnswer(Struct, frozen=True, kw_only=True):
    """An answer of ``/v1/completions`` that was asked to score its prompt."""

    choices: tuple[ScoredChoice, ...]
    system_fingerprint: str | None = None


class Logprobs(Struct, frozen=True, kw_only=True):
    """``logprobs`` of a choice, as far as the tokens themselves go."""

    token_logprobs: tuple[float, ...]


class GreedyChoice(Struct, frozen=True, kw_only=True):
    """The one choice, with its tokens' log-probabilities."""

    token_ids: tuple[int, ...]
    logprobs: Logprobs


class GreedyAnswer(Struct, frozen=True, kw_only=True):
    """An answer of ``/v1/completions`` that was asked for log-probabilities."""

    choices: tuple[GreedyChoice, ...]


class VllmRows:
    """Scores by an open dialect."""

    def __init__(self, dialect: VllmDialect, *, wanted: int) -> None:
        """Find out how many log-probabilities a place it gives, `wanted` at most.

        Raises:
            EngineError: it gives none.
        """
        self.dialect = dialect
        self.most = min(wanted, dialect.pair.vocab_size)
        reply = dialect.wire.post(COMPLETIONS, self.body((1, 1)))
        if reply.status == 400:
            told = _MOST.search(reply.body.decode("utf-8", "replace"))
            self.most = min(self.most, int(told[1]) if told else USUAL_MOST)
        self.rows(prompt=(1,), output=(1,))

    def rows(self, *, prompt: Sequence[int], output: Sequence[int]) -> TokenRows:
        """What it holds of an output.

        Raises:
            EngineError: it scores something else, or refuses to.
            EngineGoneError: another set-up of the server answered.
        """
        wire, sent = self.dialect.wire, (*prompt, *output)
        reply = wire.post(COMPLETIONS, self.body(sent))
        answer = read(reply, ScoredAnswer, wire=wire, path=COMPLETIONS)
        if answer.system_fingerprint != self.dialect.fingerprint:
            raise EngineGoneError(
                f"{wire.url}: another server scored: its fingerprint is "
                f"{answer.system_fingerprint}, and was {self.dialect.fingerprint}"
            )
        if len(answer.choices) != 1 or (scored := answer.choices[0]).prompt_logprobs is None:
            raise EngineError(f"{wire.url}: answers without prompt_logprobs")
        if scored.prompt_token_ids not in (None, sent) or len(scored.prompt_logprobs) != len(sent):
            raise EngineError(f"{wire.url}: it read another prompt than the one to score")
        places = [
            {token: entry.logprob for token, entry in (place or {}).items()}
            for place in scored.prompt_logprobs[len(prompt) :]
        ]
        return token_rows(places, output, vocab=self.dialect.pair.vocab_size, most=self.most)

    def body(self, token_ids: Sequence[int]) -> dict[str, Any]:
        """Prompt and output as one prompt."""
        return greedy_body(self.dialect, token_ids) | {"prompt_logprobs": self.most}


def greedy_body(dialect: VllmDialect, token_ids: Sequence[int]) -> dict[str, Any]:
    """A request of one greedy token."""
    return {
        "model": dialect.model,
        "prompt": token_ids,
        "max_tokens": 1,
        "temperature": 0.0,
        "return_token_ids": True,
        "stream": False,
    }


def greedily(dialect: VllmDialect, prompt: Sequence[int], *, tokens: int) -> Greedy:
    """What the server decodes greedily behind a prompt, and what it thinks of it.

    Without penalties every `--logprobs-mode` of log-probabilities means the same there.

    Raises:
        EngineError: it does not tell.
    """
    wire, asked = dialect.wire, {"max_tokens": tokens, "logprobs": 0, "ignore_eos": True}
    reply = wire.post(COMPLETIONS, greedy_body(dialect, prompt) | asked)
    answer = read(reply, GreedyAnswer, wire=wire, path=COMPLETIONS)
    if len(answer.choices) != 1 or not (found := answer.choices[0]).token_ids:
        raise EngineError(f"{wire.url}: no log-probabilities of what it decodes")
    if len(found.token_ids) != len(found.logprobs.token_logprobs):
        raise EngineError(f"{wire.url}: not every token it decodes has a log-probability")
    return Greedy(found.token_ids, found.logprobs.token_logprobs)
