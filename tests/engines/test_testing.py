"""The contract test for adapters: the bundled engines pass, and each seeded mistake is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.generation import Prompt, Request
from equivcheck.core.refusals import lacking
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.pairs.load import load_tokenizer
from equivcheck.testing import EngineBroken, assert_engine, check_engine
from equivcheck.testing.rules import RULES, apply_rule
from equivcheck.testing.trial import PROMPT_TEXTS, Trial
from tests.engines.mistakes import MISTAKES, Faulty, OneAtATime, Twice, Unclosable, without

ENGINES = (
    "native:gamma=0",
    "native:gamma=3",
    "native:gamma=3,rule=rejection,drafter=lookup",
    "transformers:mode=plain",
    "transformers:mode=assisted,gamma=3",
    "transformers:mode=lookup,gamma=3",
)


@pytest.mark.parametrize("spec", ENGINES)
def test_the_bundled_engines_keep_every_rule(spec: str, setup: EngineSetup) -> None:
    findings = assert_engine(load_engine(spec, setup), tokenizer=load_tokenizer(setup.pair))
    assert {finding.outcome for finding in findings} == {Outcome.PASS}
    assert not [finding for finding in findings if finding.headline.startswith("refused")]


def test_what_an_engine_says_it_refuses_is_not_asked(setup: EngineSetup) -> None:
    asked: list[Request] = []

    def note(request: Request) -> Request:
        asked.append(request)
        return request

    told = {
        "refuses": ("min_p", "stop", "stop_token_ids", "ignore_eos", "banned_tokens"),
        "ranges": {
            "temperature": (0.0, 2.0),
            "presence_penalty": (-2.0, 2.0),
            "frequency_penalty": (-2.0, 2.0),
            "repetition_penalty": (1.0, 2.0),
            "logit_bias": (-100.0, 100.0),
        },
    }
    engine = Faulty(load_engine("native:gamma=3", setup), before=note, told=told)
    capabilities = engine.capabilities
    findings = assert_engine(engine, tokenizer=load_tokenizer(setup.pair))
    assert all(not lacking(capabilities, request) for request in asked)
    untried = {each.subject: each.headline for each in findings if each.outcome is not Outcome.PASS}
    assert untried == {
        "eos": "not tried: to ignore the end of text is what the engine says it refuses",
        "stop-ids": "not tried: it takes stop_token_ids, which the engine says it refuses",
        "stop-strings": "not tried: it takes stop, which the engine says it refuses",
        "banned": "not tried: it takes banned_tokens, which the engine says it refuses",
        "min-p": "not tried: it takes min_p, which the engine says it refuses",
    }


@pytest.mark.parametrize(
    ("ranges", "rule", "why"),
    [
        ({"logit_bias": (-1.0, 1.0)}, "bias", "it takes a logit_bias of 50, and the engine stops"),
        ({"temperature": (0.0, 1.0)}, "seeds", "it takes a temperature of 1.5, and the engine st"),
        ({"top_p": (0.5, 1.0)}, "top-p", "it takes a top_p of 0.01, and the engine stops at 0.5"),
        ({"presence_penalty": (0.0, 1e-6)}, "presence", "presence_penalty goes up to 1e-06, and t"),
        ({"repetition_penalty": (1.0, 1.0)}, "repetition", "repetition_penalty=1 and 1 change no"),
    ],
)
def test_a_range_in_which_nothing_can_be_seen_leaves_the_rule_untried(
    ranges: dict[str, tuple[float, float]], rule: str, why: str, engine: Engine, setup: EngineSetup
) -> None:
    finding = tried(Faulty(engine, told={"ranges": ranges}), rule, setup)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.headline.startswith(f"not tried: {why}")


def test_an_engine_may_refuse_what_it_cannot_do(setup: EngineSetup) -> None:
    findings = check_engine(load_engine("native:gamma=3,rule=greedy", setup))
    by_name = {finding.subject: finding for finding in findings}
    assert {finding.outcome for finding in findings} == {Outcome.PASS, Outcome.INCONCLUSIVE}
    assert by_name["seeds"].headline == (
        "not tried: it takes temperature, which the engine says it refuses"
    )
    assert by_name["eos"].headline == "not tried: it takes a tokenizer"


@pytest.fixture(scope="module")
def engine(setup: EngineSetup) -> Iterator[Engine]:
    """A sound engine to make mistakes with."""
    sound = load_engine("native:gamma=3", setup)
    yield sound
    sound.close()


def tried(engine: Engine, rule: str, setup: EngineSetup) -> Finding:
    """The finding of one rule alone."""
    tokenizer = load_tokenizer(setup.pair)
    prompts = [Prompt(tuple(tokenizer(text)["input_ids"])) for text in PROMPT_TEXTS]
    (wanted,) = (each for each in RULES if each.name == rule)
    return apply_rule(wanted, Trial(engine, prompts=prompts, tokenizer=tokenizer))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found_and_named(mistake: str, engine: Engine, setup: EngineSetup) -> None:
    how, rule, words = MISTAKES[mistake]
    finding = tried(Faulty(engine, **how), rule, setup)
    assert finding.outcome is Outcome.FAIL
    assert words in "\n".join((finding.headline, *finding.details))


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
    assert lines[0].startswith("2 of 23 rules broken: token ")
    assert lines[1].startswith("banned: token ")
    assert lines[2].startswith("top-k: with top_k=1")


def test_prompts_can_be_given(setup: EngineSetup) -> None:
    asked: list[tuple[int, ...]] = []

    def note(request: Request) -> Request:
        asked.append(request.prompt_ids)
        return request

    prompts = [(40, 41, 42), (50, 51)]
    check_engine(Faulty(load_engine("native:gamma=0", setup), before=note), prompts=prompts)
    # One rule goes on from an answer.
    assert {prompt[:3] for prompt in asked} == {(40, 41, 42), (50, 51)}
