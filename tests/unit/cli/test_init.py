"""``equivcheck init``: what it writes can be read and run, and nothing is replaced unasked."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from equivcheck.cli import main as cli
from equivcheck.cli.init import settings_text
from equivcheck.core.load_settings import load_settings
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import Settings

SERVERS = ("--target", "http://127.0.0.1:8000", "--candidate", "http://127.0.0.1:8001")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_from_a_file_of_prompts_to_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    Path("prompts.txt").write_text("Once upon a time\nDear team,\n")
    assert cli.run(["init", "prompts.txt", *SERVERS, "--pair", "org/m", "--dtype", "bfloat16"]) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "wrote equivcheck.toml",
        "wrote .github/workflows/equivcheck.yml",
        "wrote suites/prompts.jsonl",
        "next: equivcheck run",
    ]
    settings = load_settings(Path("equivcheck.toml"))
    assert settings.target == "http://127.0.0.1:8000,dtype=bfloat16"
    assert settings.candidate == "http://127.0.0.1:8001,dtype=bfloat16"
    assert settings.control == "http://127.0.0.1:8000,dtype=bfloat16,batch=1"
    assert (settings.setup.pair, settings.setup.dtype) == ("org/m", "bfloat16")
    assert len(load_suite("suites/prompts.jsonl").cases) == 2


def test_without_engines_the_settings_are_the_defaults() -> None:
    assert cli.run(["init", "--ci", "none"]) == 0
    assert load_settings(Path("equivcheck.toml")) == Settings()
    assert not Path(".github").exists()


@pytest.mark.parametrize(
    ("ci", "place"),
    [("github", ".github/workflows/equivcheck.yml"), ("gitlab", ".gitlab-ci.equivcheck.yml")],
)
@pytest.mark.parametrize("servers", [(), SERVERS], ids=["native", "servers"])
def test_workflows_run_the_gate_and_keep_the_report(
    ci: str, place: str, servers: tuple[str, ...]
) -> None:
    assert cli.run(["init", "--ci", ci, *servers]) == 0
    text = Path(place).read_text()
    steps = yaml.safe_load(text)
    [job] = steps["jobs"].values() if ci == "github" else [steps["equivcheck"]]
    lines = [step.get("run") for step in job["steps"]] if ci == "github" else job["script"]
    assert "equivcheck run" in lines
    package = "equivcheck" if servers else "'equivcheck[native]'"
    assert f"python -m pip install {package}" in lines
    assert "reports/latest" in text


def test_nothing_is_replaced_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    Path("equivcheck.toml").write_text("seed = 3\n")
    Path("prompts.txt").write_text("Once upon a time\n")
    assert cli.run(["init", "prompts.txt"]) == 2
    assert "equivcheck.toml: already there; replace with --force" in capsys.readouterr().err
    assert Path("equivcheck.toml").read_text() == "seed = 3\n"
    assert not Path("suites").exists()
    assert cli.run(["init", "prompts.txt", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["next"] == "equivcheck run"
    assert cli.run(["init", "prompts.txt"]) == 0, "the same once more changes nothing"


def test_a_suite_is_taken_as_it_is_and_no_file_is_refused() -> None:
    Path("mine.jsonl").write_text(
        '{"equivcheck": 1, "workload": "m"}\n{"id": "a", "prompt": "x"}\n'
    )
    assert cli.run(["init", "mine.jsonl"]) == 0
    assert Path("suites/mine.jsonl").read_text() == Path("mine.jsonl").read_text()
    assert cli.run(["init", "nothing.jsonl", "--force"]) == 2
    assert cli.run(["init", "--target", "http://x"]) == 2


def test_names_with_quotes_stay_names() -> None:
    text = settings_text(None, None, pair='a"b\\c\n[setup]', dtype=None)
    assert tomllib.loads(text)["setup"]["pair"] == 'a"b\\c\n[setup]'
