"""``equivcheck export``: files, stdout, JSON and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from tests.unit.cli.test_main import evidence_of, store


@pytest.fixture
def run(tmp_path: Path) -> str:
    store(evidence_of(), tmp_path / "run")
    return str(tmp_path / "run")


def test_all_three_at_once(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        name: str(tmp_path / name) for name in ("prometheus", "grafana", "speculation-profile")
    }
    flags = [part for name, file in files.items() for part in (f"--{name}", file)]
    assert cli.run(["export", run, *flags, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == files
    assert told.err.count("written: ") == 3
    assert "equivcheck_run_outcome" in Path(files["prometheus"]).read_text(encoding="utf-8")
    assert json.loads(Path(files["grafana"]).read_text(encoding="utf-8"))["panels"]
    profile = json.loads(Path(files["speculation-profile"]).read_text(encoding="utf-8"))
    assert profile["schema_version"] == "1.0"
    assert {path.name for path in tmp_path.iterdir()} == {"run", *files}


def test_prometheus_without_a_file_is_stdout(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", run, "--prometheus"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("# HELP equivcheck_run_info ")
    assert told.err == ""


def test_the_exit_code_is_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(evidence_of((10, 99, 12)), tmp_path)
    assert cli.run(["export", str(tmp_path), "--prometheus"]) == 0
    assert 'equivcheck_run_outcome{outcome="pass"} 0' in capsys.readouterr().out


def test_an_unfinished_run_never_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(evidence_of(), tmp_path, sealed=False)
    assert cli.run(["export", str(tmp_path), "--prometheus"]) == 0
    assert 'equivcheck_run_outcome{outcome="inconclusive"} 1' in capsys.readouterr().out


def test_nothing_asked_for_is_an_error(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", run]) == 2
    assert "at least one of --prometheus, --grafana, --spec" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = str(tmp_path / "gone" / "x.prom")
    assert cli.run(["export", run, "--prometheus", lost]) == 2
    assert f"{lost}: cannot be written: No such file or directory" in capsys.readouterr().err
