"""Requests and results of the flashspec engine, with made-up results: no package is needed."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Any, NamedTuple

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request, Step
from equivcheck.core.settings import EngineSetup
from equivcheck.engines import registry
from equivcheck.engines.flashspec_answer import generation_of, refuse_what_it_lacks
from equivcheck.engines.registry import load_engine

ENTRY = "equivcheck.engines.flashspec"


class MadeUp(NamedTuple):
    """A step as the library tells it, as far as it is read."""

    proposed: int
    accepted: int
    emitted: int
    seconds: float = 0.5


def make_request(**fields: Any) -> Request:
    given: dict[str, Any] = {"key": "code/one", "prompt_ids": (1, 2, 3), "max_new_tokens": 6}
    return Request(**(given | fields))


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [((5, 6, 7, 5, 6, 7), "length"), ((5, 6, 9), "stop"), ((5, 6, 7, 0), "eos")],
)
def test_an_answer_says_why_it_ended(tokens: tuple[int, ...], reason: str) -> None:
    request = make_request(stop_token_ids=(9,))
    found = generation_of(request, tokens, (), eos_ids=(0,), seconds=2.0)
    assert (found.key, found.token_ids, found.finish_reason) == ("code/one", tokens, reason)
    assert (found.prompt_tokens, found.total_seconds) == (3, 2.0)


def test_steps_are_passed_on_as_they_are_told() -> None:
    told = [MadeUp(4, 2, 3), MadeUp(0, 0, 1), MadeUp(4, 4, 2, seconds=0.25)]
    found = generation_of(make_request(), (5,) * 6, told, eos_ids=(), seconds=1.5)
    assert found.steps == (
        Step(drafted=4, accepted=2, emitted=3, seconds=0.5),
        Step(drafted=0, accepted=0, emitted=1, seconds=0.5),
        Step(drafted=4, accepted=4, emitted=2, seconds=0.25),
    )


@pytest.mark.parametrize("tokens", [(), (5, 6)])
def test_an_output_that_just_ends_is_an_error(tokens: tuple[int, ...]) -> None:
    complaint = f"gave up on code/one after {len(tokens)} of 6 tokens"
    with pytest.raises(EngineError, match=complaint):
        generation_of(make_request(), tokens, (), eos_ids=(0,), seconds=1.0)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"sampling": Sampling(top_p=0.9, temperature=1.0)}, "the library has no top_p"),
        ({"sampling": Sampling(banned_tokens=(3,))}, "the library has no banned_tokens"),
        ({"sampling": Sampling(min_new_tokens=2)}, "the library has no min_new_tokens"),
        ({"stop": (";",)}, "the library has no stop strings"),
        ({"prompt_ids": ()}, "its prompt is empty"),
        ({"prompt_ids": (1, 100)}, "token id 100 is outside the vocabulary of 100"),
        ({"stop_token_ids": (-1,)}, "token id -1 is outside the vocabulary of 100"),
        ({"max_new_tokens": 30}, "need 33 positions, setup.context is 32"),
    ],
)
def test_what_cannot_be_served_as_asked_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EngineError, match=f"cannot serve code/one: .*{complaint}"):
        refuse_what_it_lacks(make_request(**fields), vocab=100, context=32)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_temperature_alone_is_served(temperature: float) -> None:
    request = make_request(sampling=Sampling(temperature=temperature), stop_token_ids=(99,))
    refuse_what_it_lacks(request, vocab=100, context=32)


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = metadata.EntryPoint("flashspec", f"{ENTRY}:open_engine", registry.GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [entry])
    monkeypatch.delitem(sys.modules, ENTRY, raising=False)
    monkeypatch.delattr(importlib.import_module("equivcheck.engines"), "flashspec", raising=False)
    # None stands for a package that is not there.
    monkeypatch.setitem(sys.modules, "flashspec", None)
    with pytest.raises(EngineError, match=r"'flashspec' needs .*; try: pip install flashspec"):
        load_engine("flashspec:gamma=4", EngineSetup())
