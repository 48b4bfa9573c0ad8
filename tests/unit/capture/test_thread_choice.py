"""Whose choice a run's number of threads is: the user's, a stored run's, or timing's."""

from __future__ import annotations

from typing import Any

import pytest

from equivcheck.capture.thread_choice import computes_here, with_threads
from equivcheck.core.engine_tables import EngineTable
from equivcheck.core.settings import EngineSetup, Settings
from tests.unit.make import make_header


def never(setup: EngineSetup) -> int | None:
    raise AssertionError("timed")


def with_count(threads: int | None) -> Settings:
    return Settings(setup=EngineSetup(threads=threads))


@pytest.mark.parametrize("chosen", [1, 2])
def test_a_new_run_takes_what_timing_chose_and_says_so(chosen: int) -> None:
    found = with_threads(Settings(), stored=None, time_threads=lambda setup: chosen)
    assert found == (with_count(chosen), True)


def test_where_there_is_nothing_to_choose_the_settings_stay() -> None:
    found = with_threads(Settings(), stored=None, time_threads=lambda setup: None)
    assert found == (Settings(), False)
    assert with_threads(Settings(), stored=None, time_threads=None) == (Settings(), False)


def test_a_number_that_is_set_is_never_overridden() -> None:
    found = with_threads(with_count(3), stored=None, time_threads=never)
    assert found == (with_count(3), False)


@pytest.mark.parametrize(
    ("stored", "timed", "asked", "found"),
    [(1, True, None, 1), (None, False, None, None), (2, False, None, None), (1, True, 4, 4)],
    ids=["chosen by timing", "not chosen", "set then, unset now", "set now"],
)
def test_a_resumed_run_keeps_the_stored_choice_and_times_nothing(
    stored: int | None, timed: bool, asked: int | None, found: int | None
) -> None:
    header = make_header(settings=with_count(stored), threads_timed=timed)
    told = with_threads(with_count(asked), stored=header, time_threads=never)
    assert told == (with_count(found), False)


@pytest.mark.parametrize(
    ("named", "here"),
    [
        ({}, True),
        ({"candidate": "transformers:mode=assisted"}, True),
        ({"candidate": "replay:run=one"}, True),
        ({"target": "replay:run=one", "candidate": "replay:run=two"}, False),
        ({"candidate": "isolated:native"}, False),
        ({"candidate": "vllm"}, False),
        ({"candidate": "http://localhost:8000"}, False),
        ({"control": "openvino"}, False),
        ({"sampled": "openvino"}, False),
        ({"candidate": "mine"}, False),
        ({"candidate": "named"}, True),
    ],
    ids=str,
)
def test_it_is_timed_where_all_engines_compute_with_this_torch(
    named: dict[str, Any], here: bool
) -> None:
    engine = {
        "mine": EngineTable(engine="native", isolated=True),
        "named": EngineTable(engine="native:gamma=2"),
    }
    settings = Settings(engine=engine, **named)
    assert computes_here(settings) == here
    asked: list[EngineSetup] = []
    with_threads(settings, stored=None, time_threads=lambda setup: asked.append(setup))
    assert bool(asked) == here
