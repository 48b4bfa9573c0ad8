"""The catalogue itself: complete, consistent, and each entry one short class."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from equivcheck.checks import CHECKS
from equivcheck.core.errors import SettingsError
from equivcheck.decoding.decoder import Decoder
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.native_options import NativeOptions
from equivcheck.engines.registry import decode_options
from equivcheck.fault_matrix.events import EVENTS
from equivcheck.fault_matrix.render import SHOWN
from equivcheck.fault_matrix.rigs import rig_of
from equivcheck.fault_matrix.schedules import WRITERS
from equivcheck.faults.catalogue import CATALOGUE, CONTROLS, find
from equivcheck.faults.fault import FAMILIES, Fault, control, fault

EVERY = (*CATALOGUE, *CONTROLS)
LONGEST_CLASS = 45


def test_there_are_many_and_every_family_has_some() -> None:
    assert len(CATALOGUE) >= 60
    assert {entry.family for entry in CATALOGUE} == FAMILIES.keys()


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.id)
def test_a_fault_says_what_it_is(entry: Fault) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.id)
    assert re.search(r"#\d+|GHSA-", entry.recreates)
    assert entry.summary
    assert not entry.summary.endswith(".")
    assert entry.caught_by in {*dict(CHECKS), "acceptance", "sampled", "schedules"}
    assert entry.serves == (entry.family == "F26")
    assert (entry.caught_by in ("acceptance", "engaged")) == (entry.breaks == "speed")
    assert (entry.caught_by == "counters") == (entry.breaks == "measurement")
    assert (entry.label == "lossy") == (entry.family == "F21")


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.id)
def test_an_entry_can_be_asked_for(entry: Fault) -> None:
    assert find(entry.id) is entry
    spec = EngineSpec.parse(entry.candidate)
    assert decode_options(spec.name, spec.options, NativeOptions).fault == entry.id
    assert set(entry.asked) <= set(rig_of(entry).schedules)


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.id)
def test_an_entry_is_one_short_class(entry: Fault) -> None:
    assert issubclass(entry.decoder, Decoder)
    kind = entry.server if entry.serves else entry.decoder
    assert len(inspect.getsource(kind).splitlines()) <= LONGEST_CLASS


def test_every_schedule_has_its_events_and_every_shown_fault_exists() -> None:
    assert EVENTS.keys() == WRITERS.keys()
    assert [find(name).id for name in SHOWN] == list(SHOWN)


def test_an_unknown_fault_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="did you mean 'skip-first-check'"):
        find("skip-first-chek")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="sound: there is a fault of that name already"):
        control("sound", schedules=())(Decoder)
    with pytest.raises(ValueError, match="no family 'F99'"):
        fault("new", family="F99", recreates="x #1", caught_by="greedy")(Decoder)


def test_the_order_is_that_of_no_import() -> None:
    code = (
        "from equivcheck.faults import recurrence, vocabulary, sampling;"
        "from equivcheck.faults.catalogue import CATALOGUE, CONTROLS;"
        "print(*(entry.id for entry in (*CATALOGUE, *CONTROLS)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [entry.id for entry in EVERY]
