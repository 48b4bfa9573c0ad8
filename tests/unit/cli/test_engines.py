"""``equivcheck engines``: tables of the settings stand beside what is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli import main as cli

TABLES = """
[engine.plain]
engine = "http://127.0.0.1:8000,dtype=bfloat16"
start = "serve --port 8000"

[engine.native]
engine = "native:gamma=2"

[engine.elsewhere]
engine = "unheard-of:mode=mtp"
isolated = true
python = ".venv-vllm/bin/python"

[engine.misspelt]
engine = "natvie"

[engine.wrong]
engine = "native"
ready = "/health"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "equivcheck.toml").write_text(TABLES)
    monkeypatch.chdir(tmp_path)


def test_tables_are_listed_with_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["engines", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["engine.plain"] == {
        "engine": "http:url=http://127.0.0.1:8000,dtype=bfloat16",
        "start": "serve --port 8000",
        "python": None,
        "problem": None,
    }
    assert listed["engine.elsewhere"]["engine"] == "isolated:unheard-of:mode=mtp"
    assert listed["engine.elsewhere"]["problem"] is None
    # A table may have the name of an installed engine.
    assert listed["native"]["loads"]
    assert listed["engine.native"]["engine"] == "native:gamma=2"


def test_what_is_wrong_with_a_table_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["engines"]) == 0
    told = capsys.readouterr().out
    assert "engine.misspelt: cannot load: " in told
    assert "did you mean 'native'?" in told
    assert "engine.wrong: cannot load: engine.wrong: ready is of a server" in told
    assert "engine.plain: a table of the settings\n  engine: http:url=http://127.0" in told
    assert "  start: serve --port 8000\n" in told
