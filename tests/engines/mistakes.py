"""Mistakes that adapters make, seeded into a sound engine, with the words that must name them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.generation import Generation, Request, Step, TokenScore

replace = msgspec.structs.replace


class Faulty:
    """A real engine with one mistake on the way in or out."""

    def __init__(
        self,
        engine: Engine,
        *,
        before: Callable[[Request], Request] = lambda request: request,
        after: Callable[[Generation], Generation] = lambda generation: generation,
        told: dict[str, Any] | None = None,
    ) -> None:
        self.engine, self.before, self.after, self.told = engine, before, after, told or {}

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.engine.capabilities, **self.told)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for answer in self.engine.generate([self.before(request) for request in requests]):
            yield self.after(answer)

    def close(self) -> None:
        self.engine.close()


def without(**neutral: Any) -> dict[str, Any]:
    """An adapter that forgets to pass some sampling parameters on."""
    return {
        "before": lambda request: replace(request, sampling=replace(request.sampling, **neutral))
    }


def drawn_anew() -> dict[str, Any]:
    numbers = itertools.count()
    return {"before": lambda request: replace(request, seed=next(numbers))}


def remembering() -> dict[str, Any]:
    """An adapter whose biases stay behind."""
    kept: dict[int, float] = {}

    def before(request: Request) -> Request:
        kept.update(request.sampling.logit_bias)
        return replace(request, sampling=replace(request.sampling, logit_bias=dict(kept)))

    return {"before": before}


def restless() -> dict[str, Any]:
    """An adapter that leaves a token out of every second answer."""
    turn = itertools.cycle((True, False))

    def after(answer: Generation) -> Generation:
        return replace(answer, token_ids=answer.token_ids[next(turn) :])

    return {"after": after}


def limit_first() -> dict[str, Any]:
    """An adapter that looks at the limit before it looks for a stop."""
    limits: dict[str, int] = {}

    def before(request: Request) -> Request:
        limits[request.key] = request.max_new_tokens
        return request

    def after(answer: Generation) -> Generation:
        reached = len(answer.token_ids) >= limits[answer.key]
        return replace(answer, finish_reason="length") if reached else answer

    return {"before": before, "after": after}


def late_scores(answer: Generation) -> Generation:
    scores = answer.scores or ()
    return replace(answer, scores=(*scores[:1], *scores[:-1]))


def one_more(answer: Generation) -> Generation:
    return replace(answer, token_ids=(*answer.token_ids, answer.token_ids[-1]))


def rescored(answer: Generation, score: TokenScore) -> Generation:
    return replace(answer, scores=(score,) * len(answer.token_ids))


SURE = TokenScore(logprob=0.0, rival=-1, rival_logprob=-1e30)
IMPOSSIBLE = TokenScore(logprob=-0.1, rival=-1, rival_logprob=-0.2)

MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "runs over the limit": (
        {"after": one_more},
        "limits",
        "with max_new_tokens=1 it gave 1 tokens too many",
    ),
    "always says length": (
        {"after": lambda answer: replace(answer, finish_reason="length")},
        "stop-ids",
        "it says 'length', not 'stop'",
    ),
    "sees the limit before a stop": (
        limit_first(),
        "stop-ids",
        "and the last that is allowed, it says 'length', not 'stop'",
    ),
    "forgets stop ids": (
        {"before": lambda request: replace(request, stop_token_ids=())},
        "stop-ids",
        "tokens too many",
    ),
    "forgets stop strings": (
        {"before": lambda request: replace(request, stop=())},
        "stop-strings",
        "tokens too many",
    ),
    "ignores the end of text": (
        {"before": lambda request: replace(request, ignore_eos=True)},
        "eos",
        "with end of text certain and min_new_tokens=0 it gave",
    ),
    "ends too soon": (without(min_new_tokens=0), "eos", "min_new_tokens=1 it gave"),
    "forgets bans": (without(banned_tokens=()), "banned", "was banned and appears at 0"),
    "forgets biases": (without(logit_bias={}), "bias", "with a bias of 10000 on token"),
    "forgets presence": (without(presence_penalty=0.0), "presence", "tokens come twice"),
    "forgets frequency": (without(frequency_penalty=0.0), "frequency", "tokens come twice"),
    "forgets repetition": (without(repetition_penalty=1.0), "repetition", "change no answer"),
    "forgets top_k": (without(top_k=0), "top-k", "with top_k=1 at temperature 5 it gave"),
    "forgets top_p": (without(top_p=1.0), "top-p", "with top_p=1e-06 at temperature 5 it gave"),
    "forgets min_p": (without(min_p=0.0), "min-p", "with min_p=1 at temperature 5 it gave"),
    "ignores seeds": (drawn_anew(), "seeds", "asked the same twice with seed 0, it drew"),
    "always has one seed": (
        {"before": lambda request: replace(request, seed=1, key="one")},
        "answers",
        "it answered trial/1 0 times",
    ),
    "ignores temperature": (without(temperature=0.0), "seeds", "4 seeds at temperature 1.5 gave"),
    "remembers": (remembering(), "leaks", "after a request with penalties in between"),
    "differs from time to time": (restless(), "repeats", "asked the same twice at temperature 0"),
    "makes up ids": (
        {"after": lambda answer: replace(answer, token_ids=(4096, *answer.token_ids[1:]))},
        "vocabulary",
        "output token 0 is id 4096, outside the vocabulary of 304",
    ),
    "counts wrong": (
        {
            "after": lambda answer: replace(
                answer, steps=(*answer.steps, Step(drafted=1, accepted=0, emitted=1))
            )
        },
        "steps",
        "steps emitted",
    ),
    "hides its steps": (
        {"after": lambda answer: replace(answer, steps=())},
        "steps",
        "reports steps, but gave none",
    ),
    "announces more than it does": (
        {"told": {"reports_steps": False}},
        "steps",
        "it gives steps, but its capabilities say",
    ),
    "scores with certainty": (
        {"after": lambda answer: rescored(answer, SURE)},
        "scores",
        "log-probability 0.0 for all",
    ),
    "scores impossibly": (
        {"after": lambda answer: rescored(answer, IMPOSSIBLE)},
        "scores",
        "more than all the mass",
    ),
    "shifts its scores": (
        {"after": late_scores},
        "scores",
        "where it is asked for alone (0.002 allowed)",
    ),
    "keeps its scores": (
        {"after": lambda answer: replace(answer, scores=None)},
        "scores",
        "its capabilities say reports_scores=True, but it gives no scores",
    ),
    "cannot be stored": (
        {"told": {"versions": {"torch": object()}}},
        "capabilities",
        "its capabilities cannot be stored",
    ),
    "cannot sample, but does": (
        {"told": {"sampled": False}},
        "seeds",
        "it says that it cannot sample",
    ),
    "refuses what nobody asks": (
        {"told": {"refuses": ("minp",), "ranges": {"heat": (0.0, 1.0)}}},
        "capabilities",
        "its capabilities say that it refuses 'minp', which no request has",
    ),
    "has a range that is none": (
        {"told": {"ranges": {"temperature": (2.0, 0.0)}}},
        "capabilities",
        "its capabilities give temperature a range from 2 to 0",
    ),
    "bends a value it takes": (
        without(presence_penalty=0.0) | {"told": {"ranges": {"logit_bias": (-100.0, 100.0)}}},
        "presence",
        "tokens come twice",
    ),
    "calls drawn drafts certain": (
        {"told": {"drafter": "one-hot"}},
        "drafts",
        "it calls its drafts certain, but after the same",
    ),
    "names no draft that it calls certain": (
        {
            "told": {"drafter": "one-hot"},
            "after": lambda answer: replace(
                answer, steps=tuple(replace(step, drafts=None) for step in answer.steps)
            ),
        },
        "drafts",
        "its steps do not name them",
    ),
    "counts prompts wrong": (
        {"after": lambda answer: replace(answer, prompt_tokens=1)},
        "answers",
        "it counts 1 prompt tokens",
    ),
}


class Twice(Faulty):
    """Answers the first request twice and the last one never."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        answers = list(self.engine.generate(requests))
        yield from [*answers[:1], *answers[: len(answers) - (len(answers) > 1)]]


class OneAtATime(Faulty):
    """Breaks on a batch."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        (request,) = requests
        return self.engine.generate([request])


class Unclosable(Faulty):
    """Cannot be closed."""

    def close(self) -> None:
        raise OSError("still in use")
