"""What an engine's name means: installed, by a table, in a process of its own."""

from __future__ import annotations

import pytest

from equivcheck.core.engine_tables import EngineTable
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.naming import EngineSpec, name_in, read_spec
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine

TABLES = {
    "fast": EngineTable(engine="native:gamma=4,drafter=lookup", isolated=True),
    "native": EngineTable(engine="native:width=8"),
    "wrong": EngineTable(engine=":gamma=4"),
    "forgetful": EngineTable(engine="native", python="python3"),
}


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("isolated:native:gamma=4", "isolated:native:gamma=4"),
        ("isolated:native", "isolated:native"),
        ("fast", "isolated:native:gamma=4,drafter=lookup"),
        ("fast:gamma=2", "isolated:native:gamma=2,drafter=lookup"),
        ("isolated:native:gamma=2", "isolated:native:gamma=2"),
    ],
)
def test_names_in_full(text: str, full: str) -> None:
    tables = {"fast": TABLES["fast"]}
    assert str(read_spec(text, tables)) == full
    assert str(EngineSpec.parse(full)) == full


def test_a_table_says_how_an_installed_engine_is_opened() -> None:
    assert str(read_spec("native:gamma=2", TABLES)) == "native:width=8,gamma=2"
    assert read_spec("isolated:native", TABLES).isolated


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("isolated", "engine 'isolated': no name; write NAME or isolated:NAME"),
        ("isolated:", "no name"),
        ("isolated:isolated:native", "no name"),
        ("isolated:native:gamma", "'gamma' is not option=value"),
        ("wrong", r"engine\.wrong: engine ':gamma=4': no name"),
        ("forgetful", r"engine\.forgetful: python is of a process of its own; say isolated = true"),
    ],
)
def test_what_is_no_name(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_spec(text, TABLES)


def test_the_name_in_a_text() -> None:
    assert name_in("isolated:native:gamma=4") == name_in("native:gamma=4") == "native"
    assert name_in("org/model+org/draft") == "org/model+org/draft"


def test_an_unknown_name_is_told_with_those_of_tables() -> None:
    with pytest.raises(EngineError, match=r"no engine named 'fsat' \(did you mean 'fast'\?\)"):
        load_engine("fsat", EngineSetup(), opening=Opening(tables={"fast": TABLES["fast"]}))
