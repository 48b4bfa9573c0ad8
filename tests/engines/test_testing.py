"""The contract test for adapters: the bundled engines pass, and each seeded mistake is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from equivcheck.engines.protocol import Capabilities, Engine
from equivcheck.engines.registry import load_engine
from equivcheck.errors import EngineError
from equivcheck.findings import Finding, Outcome
from equivcheck.generation import Generation, Request, Step, TokenScore
from equivcheck.pairs.load import load_tokenizer
from equivcheck.settings import EngineSetup
from equivcheck.testing import EngineBroken, assert_engine, check_engine
from equivcheck.testing.rules import RULES, apply_rule
from equivcheck.testing.trial import PROMPT_TEXTS, Trial

ENGINES = (
    "native:gamma=0",
    "native:gamma=3",
    "native:gamma=3,rule=rejection,drafter=lookup",
    "transformers:mode=plain",
    "transformers:mode=assisted,gamma=3",
    "transformers:mode=lookup,gamma=3",
)
replace = msgspec.structs.replace


@pytest.mark.parametrize("spec", ENGINES)
def test_the_bundled_engines_keep_every_rule(spec: str, setup: EngineSetup) -> None:
    findings = assert_engine(load_engine(spec, setup), tokenizer=load_tokenizer(setup.pair))
    assert {finding.outcome for finding in findings} == {Outcome.PASS}
    assert not [finding for finding in findings if finding.headline.startswith("refused")]


def test_an_engine_may_refuse_what_it_cannot_do(setup: EngineSetup) -> None:
    findings = check_engine(load_engine("native:gamma=3,rule=greedy", setup))
    by_name = {finding.subject: finding for finding in findings}
    assert {finding.outcome for finding in findings} == {Outcome.PASS, Outcome.INCONCLUSIVE}
    assert by_name["seeds"].headline.startswith("refused: native: cannot serve trial/")
    assert by_name["eos"].headline == "not tried: it takes a tokenizer"


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
    "forgets top_p": (without(top_p=1.0), "top-p", "with top_p=1e-6 at temperature 5 it gave"),
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
    "counts prompts wrong": (
        {"after": lambda answer: replace(answer, prompt_tokens=1)},
        "answers",
        "it counts 1 prompt tokens",
    ),
}


@pytest.fixture(scope="module")
def engine(setup: EngineSetup) -> Iterator[Engine]:
    """A sound engine to make mistakes with."""
    sound = load_engine("native:gamma=3", setup)
    yield sound
    sound.close()


def tried(engine: Engine, rule: str, setup: EngineSetup) -> Finding:
    """The finding of one rule alone."""
    tokenizer = load_tokenizer(setup.pair)
    prompts = [tokenizer(text)["input_ids"] for text in PROMPT_TEXTS]
    (wanted,) = (each for each in RULES if each.name == rule)
    return apply_rule(wanted, Trial(engine, prompts=prompts, tokenizer=tokenizer))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found_and_named(mistake: str, engine: Engine, setup: EngineSetup) -> None:
    how, rule, words = MISTAKES[mistake]
    finding = tried(Faulty(engine, **how), rule, setup)
    assert finding.outcome is Outcome.FAIL
    assert words in "\n".join((finding.headline, *finding.details))


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


def test_answering_twice_is_found(engine: Engine, setup: EngineSetup) -> None:
    assert tried(Twice(engine), "answers", setup).headline.endswith(" times")
    assert "alone, it answered trial/1, trial/1" in tried(Twice(engine), "limits", setup).headline


def test_breaking_on_a_batch_is_found(engine: Engine, setup: EngineSetup) -> None:
    finding = tried(OneAtATime(engine), "answers", setup)
    assert finding.headline.startswith("raised ValueError: too many values")
    assert tried(OneAtATime(engine), "limits", setup).outcome is Outcome.PASS


def test_failing_to_close_is_found(engine: Engine, setup: EngineSetup) -> None:
    finding = tried(Unclosable(engine), "close", setup)
    assert (finding.outcome, finding.headline) == (Outcome.FAIL, "raised OSError: still in use")


def test_refusing_the_plainest_request_is_no_way_out(engine: Engine, setup: EngineSetup) -> None:
    def refuse(request: Request) -> Request:
        raise EngineError("not today\x1b[2J")

    refusing = Faulty(engine, before=refuse)
    finding = tried(refusing, "limits", setup)
    assert (finding.outcome, finding.headline) == (Outcome.FAIL, "refused: not today\\x1b[2J")
    assert tried(refusing, "banned", setup).outcome is Outcome.PASS


def test_the_raising_variant_tells_all(setup: EngineSetup) -> None:
    engine = Faulty(load_engine("native:gamma=3", setup), **without(banned_tokens=(), top_k=0))
    with pytest.raises(EngineBroken) as caught:
        assert_engine(engine, tokenizer=load_tokenizer(setup.pair))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 of 22 rules broken: token ")
    assert lines[1].startswith("banned: token ")
    assert lines[2].startswith("top-k: with top_k=1")


def test_prompts_can_be_given(setup: EngineSetup) -> None:
    asked: list[tuple[int, ...]] = []

    def note(request: Request) -> Request:
        asked.append(request.prompt_ids)
        return request

    prompts = [(40, 41, 42), (50, 51)]
    check_engine(Faulty(load_engine("native:gamma=0", setup), before=note), prompts=prompts)
    assert set(asked) == {(40, 41, 42), (50, 51)}
