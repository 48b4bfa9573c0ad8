"""Command lines, settings and streams made to break: one sentence and exit code 2, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equivcheck.cli.main import run
from tests.attack.make import equivcheck, make_run
from tests.unit.seals import reseal

LONG = "n" * 300
SETTINGS = {
    "deep": (f"a = {'[' * 5000}{']' * 5000}\n", "equivcheck.toml: not valid TOML: nested too"),
    "a seed": ("seed = 9223372036854775808\n", "equivcheck.toml: seed: expected `int` <= 9223"),
    "digits": (f"seed = {'1' * 4301}\n", "equivcheck.toml: not valid TOML: Exceeds the limit"),
}
ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "a setting in Latin 1": (["run", "s", "--set", "a=\udcff"], "holds bytes that are no UTF-8"),
    "an option in Latin 1": (["run", "s", "--candidate", "x:y=\udcff"], "that are no UTF-8"),
    "a long suite": (["run", LONG], f"{LONG}: File name too long"),
    "a long run": (["judge", LONG], f"{LONG}: File name too long"),
    "a long measurement": (["bench", "--show", "--out", LONG], f"{LONG}: File name too long"),
    "a long pair": (["pairs", LONG], "File name too long"),
    "metrics into a folder": (["export", "RUN", "--prometheus", "."], ".: cannot be written: a fo"),
    "a file for a folder": (["run", "s.jsonl", "--out", "s.jsonl"], "s.jsonl: cannot be written"),
    "a pipe for a suite": (["run", "pipe"], "pipe: no regular file"),
    "a pipe for routes": (["advise", "MEASURED", "--previous", "pipe"], "pipe: no regular file"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.jsonl").write_text(
        '{"equivcheck": 1, "workload": "w"}\n{"id": "a", "prompt": "p"}\n'
    )
    os.mkfifo(tmp_path / "pipe")
    make_run(tmp_path / "RUN")
    return tmp_path


@pytest.mark.parametrize(("text", "told"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_break_their_parser_are_named(
    text: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "equivcheck.toml").write_text(text)
    assert run(["run", "s.jsonl"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("arguments", "told"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_that_cannot_be_used_are_named(
    arguments: list[str], told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Path(__file__).parents[2] / "reports" / "cpu" / "bench-close.jsonl"
    given = [str(measured) if each == "MEASURED" else each for each in arguments]
    assert run(given) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_a_folder_whose_name_is_no_utf_8_costs_no_verdict(tmp_path: Path) -> None:
    named = os.fsencode(tmp_path) + b"/r\xff"
    make_run(Path(os.fsdecode(named)))
    script = "from equivcheck.cli.main import main; main(['judge', 'records.jsonl'])"
    code = "from equivcheck.cli import supervise; from pathlib import Path; "
    code += "supervise.rests_on(Path('.')); "
    done = subprocess.run([sys.executable, "-c", code + script], cwd=named, capture_output=True)
    assert b"Traceback" not in done.stderr
    assert b"the records do not end with the verdict" in done.stderr


def test_json_shows_what_a_reader_could_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run(tmp_path, differs=True)
    hostile = "code/\u202eeno\u009b[31m\U000e0001é"
    text = path.read_text(encoding="utf-8").replace("code/two", hostile)
    path.write_text(text, encoding="utf-8")
    reseal(path)
    assert run(["judge", str(path), "--json"]) in (1, 3)
    out = capsys.readouterr().out
    assert not any(mark in out for mark in ("\u202e", "\u009b", "\U000e0001"))
    assert "\\u202eeno\\u009b[31m\\udb40\\udc01é" in out
    assert hostile in json.dumps(json.loads(out), ensure_ascii=False)


def shell(redirection: str, *arguments: str) -> int:
    """The exit code of the command line with its streams redirected by a shell."""
    script = f'exec "$@" {redirection}'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "equivcheck", *arguments]
    return subprocess.run(command, check=False, timeout=60, capture_output=True).returncode


@pytest.mark.parametrize(
    "redirection",
    [">/dev/full", ">&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"],
)
@pytest.mark.parametrize("differs", [False, True], ids=["as it is", "not lossless"])
def test_the_exit_code_outlives_the_streams(
    redirection: str, differs: bool, tmp_path: Path
) -> None:
    path = str(make_run(tmp_path, differs=differs))
    code = equivcheck("judge", path).code
    assert code == int(differs) or code == 3
    assert shell(redirection, "judge", path) == code
    assert shell(redirection, "judge", path, "--json") == code
    assert shell(redirection, "judge", f"{path}.none") == 2


def test_a_closed_stdout_leaves_the_records_alone(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    equivcheck("judge", str(path))
    before = path.read_bytes()
    shell("<&- >&- 2>&-", "judge", str(path))
    assert path.read_bytes() == before
