"""Whether a server that scores computes what the target does, on a few of the target's answers.

Other weights, a quantisation, another dtype or a token put before each prompt would accuse a sound
engine. What is compared has been chosen without a temperature, a cut or a penalty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import Settings
from equivcheck.engines.http.rows import TokenRows
from equivcheck.engines.http.scorer import greedily_by
from equivcheck.records.records import TARGET, Evidence
from equivcheck.scoring.distribution_scorer import LEAST_SLACK, coarseness
from equivcheck.scoring.jobs import can_be_scored
from equivcheck.scoring.penalties import changes_logits
from equivcheck.scoring.served import LARGEST_LOGIT, ServerScorer

ANSWERS = 8
"""Answers of the target that are compared."""
MOST_ASKED = 64
"""Tokens of one answer that the target is asked for with its log-probabilities."""
BOTH = 2.0
"""Target and scorer round, each on its own."""
HINT = (
    "other weights, another quantisation or another dtype; it has to serve the target's model in "
    "the target's numbers"
)


class Agreement(NamedTuple):
    """What was compared, and how far it was apart at most."""

    answers: int
    tokens: int
    told: int
    """Tokens whose log-probability the target told as well."""
    widest: float
    """Nats."""

    def __str__(self) -> str:
        """For a finding's details."""
        also = f" and {self.told} log-probabilities" if self.told else ""
        return (
            f"agrees with the {TARGET} on {self.tokens} greedy tokens{also}, to "
            f"{self.widest:.2g} nats"
        )


class GreedyText(NamedTuple):
    """What the target said greedily."""

    key: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Its own, as far as it told any."""


class Apart(NamedTuple):
    """How far one token is from what the scorer says."""

    nats: float
    what: str


def agreement(served: ServerScorer, evidence: Evidence, *, target: Engine | None) -> Agreement:
    """Compare the scorer with the target.

    Args:
        served: the scorer.
        evidence: with greedy answers of the target.
        target: its engine, to be asked for log-probabilities of its own; None: not open.

    Raises:
        SettingsError: they do not agree, or there is no greedy answer to compare.
        EngineError: the scorer does not score one of them, or the target does not answer.
        EngineGoneError: one of them is gone.
    """
    settings = evidence.header.settings
    answers = some(list(greedy_answers(evidence)))
    if not answers:
        raise SettingsError(
            f"scorer: there is no greedy answer of the {TARGET} to see whether "
            f"{settings.scorer} agrees with it; add a greedy case without penalties to the suites"
        )
    texts = [
        GreedyText(each.key, each.prompt_ids, got.token_ids, own_scores(got))
        for each, got in answers
    ]
    if target is not None:
        texts += list(asked_for(target, answers))
    found = served.scorer.score([(text.prompt, text.tokens) for text in texts])
    widest, allowed = 0.0, tolerance(settings)
    for text, rows in zip(texts, found, strict=True):
        if isinstance(rows, EngineError):
            raise EngineError(f"scorer: {visible(text.key)} is not scored: {rows}") from rows
        served.logits = rows.logits
        for at, apart in compared(text, rows):
            if apart.nats > allowed:
                raise SettingsError(
                    f"scorer: {settings.scorer} and the {TARGET} do not agree: "
                    f"{visible(text.key)}, token {at}, {apart.what} by {apart.nats:.3g} nats, "
                    f"{allowed:.3g} allowed: {HINT}"
                )
            widest = max(widest, apart.nats)
    return Agreement(
        answers=len(answers),
        tokens=sum(len(text.tokens) for text in texts),
        told=sum(len(text.logprobs) for text in texts),
        widest=widest,
    )


def own_scores(answer: Generation) -> tuple[float, ...]:
    """Log-probabilities that came with an answer."""
    return tuple(score.logprob for score in answer.scores or ())


def asked_for(
    target: Engine, answers: Sequence[tuple[Request, Generation]]
) -> Iterator[GreedyText]:
    """The same prompts once more, to a target that tells log-probabilities where it is asked to."""
    for request, answer in answers:
        tokens = min(len(answer.token_ids), MOST_ASKED)
        found = greedily_by(target, request.prompt_ids, tokens=tokens)
        if found is not None:
            yield GreedyText(request.key, request.prompt_ids, found.token_ids, found.logprobs)


def greedy_answers(evidence: Evidence) -> Iterator[tuple[Request, Generation]]:
    """The target's answers that say something: greedy, not empty, of logits as they are."""
    for key, captured in evidence.captured.get(TARGET, {}).items():
        request, answer = evidence.asked[key].request, captured.generation
        plain = request.sampling.greedy and not changes_logits(request)
        if plain and answer.token_ids and can_be_scored(answer, evidence):
            yield request, answer


def some(
    answers: list[tuple[Request, Generation]],
) -> list[tuple[Request, Generation]]:
    """A few of them, from all suites."""
    every = max(1, math.ceil(len(answers) / ANSWERS))
    return answers[::every]


def tolerance(settings: Settings) -> float:
    """Nats by which rounding may part target and scorer, each as far as one may be off."""
    return BOTH * max(LEAST_SLACK, coarseness(settings) * LARGEST_LOGIT)


def compared(text: GreedyText, rows: TokenRows) -> Iterator[tuple[int, Apart]]:
    """How far each token is off: under the scorer's best, and in its own log-probability."""
    norm = np.zeros(len(rows.own))
    if rows.logits:
        norm = np.logaddexp.reduce(rows.values, axis=1)
    for at, (best, own) in enumerate(zip(rows.values[:, 0], rows.own, strict=True)):
        yield at, Apart(float(best - own), "chosen greedily, lies under the scorer's best")
    for at, (told, own) in enumerate(zip(text.logprobs, rows.own - norm, strict=False)):
        yield at, Apart(abs(told - float(own)), "has another log-probability")
