"""The commands of README and docs are understood; `python -m tests.docs_commands` runs them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from equivcheck.cli.main import equivcheck
from equivcheck.engines.naming import read_spec
from equivcheck.engines.native_options import NativeOptions
from equivcheck.engines.registry import decode_options
from tests.docs_commands import NOT_RUN, shown
from tests.unit.source import ROOT

COMMANDS = tuple(shown())
OURS = tuple(dict.fromkeys(each.words for each in COMMANDS if each.ours))


@pytest.mark.parametrize("words", OURS, ids=range(len(OURS)))
def test_a_command_is_understood(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    _, name, *arguments = shlex.split(words)
    context = equivcheck.make_context("equivcheck", [name])
    verb = equivcheck.get_command(context, name)
    assert verb is not None
    given = verb.make_context(name, arguments, parent=context).params
    for engine in (given.get("candidate"), given.get("target")):
        if isinstance(engine, str) and (spec := read_spec(engine, {})).name == "native":
            decode_options("native", spec.options, NativeOptions)
    for suite in given.get("suites") or ():
        assert Path(suite).exists(), suite


def test_every_command_is_run_or_said_not_to_be() -> None:
    assert [each for each in COMMANDS if not each.ours and each.not_run is None] == []


@pytest.mark.parametrize("start", NOT_RUN)
def test_what_is_not_run_is_still_shown(start: str) -> None:
    assert any(each.words.startswith(start) for each in COMMANDS)
