"""`equivcheck bench` and `equivcheck advise` on the bundled pair, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.metrics.records_file import read_bench
from equivcheck.metrics.summarise import summarise

CASES = """\
{"equivcheck": 1, "workload": "prose", "description": "two short prompts"}
{"id": "one", "prompt": "Once upon a time", "max_new_tokens": 8}
{"id": "two", "prompt": "def add(a, b):", "max_new_tokens": 8}
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real measurement, with the worst case beside the candidate."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "prose.jsonl").write_text(CASES, encoding="utf-8")
    out = folder / "bench.jsonl"
    arguments = ["bench", str(folder / "prose.jsonl"), "--tokens", "12", "--set"]
    arguments += ["setup.context=128", "--worst-case", "--out", str(out)]
    assert cli.run(arguments) == 0
    return out


def test_a_real_measurement_is_complete_and_identical(measured: Path) -> None:
    summary = summarise(read_bench(measured))
    assert summary.finished
    prose = summary.main["prose"]
    assert prose.holds
    assert prose.speedup is not None
    assert set(prose.speedup_over) >= {"target", "stock"}
    assert prose.costs["target"].c is not None
    assert all(tax.identity_tax.value for tax in summary.taxes)
    facts = summary.facts_of("native:gamma=4")
    assert facts is not None
    assert facts.memory.draft
    assert facts.memory_overhead is not None
    assert facts.memory_overhead > 1
    assert summary.copy_bytes_per_second
    target = next(each for each in summary.arm_summaries if each.arm == "target")
    assert target.mbu is not None
    assert target.mbu > 0
    assert target.floor is not None
    assert target.floor.fraction is not None
    # The floor reads the context there is, utilisation counts the whole static cache.
    assert 0 < target.floor.fraction < target.mbu
    assert prose.costs["target"].measured_over_predicted is not None
    assert facts.costs == ()


def test_rows_of_a_batch_are_refilled_and_the_measurement_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prose.jsonl").write_text(CASES, encoding="utf-8")
    out = tmp_path / "bench.jsonl"
    asked = ["bench", str(tmp_path / "prose.jsonl"), "--tokens", "8", "--no-stock"]
    asked += ["--sweep", "batch=1,2", "--refills", "1", "--set", "setup.context=128"]
    assert cli.run([*asked, "--out", str(out)]) == 0
    whole = out.read_text(encoding="utf-8").splitlines(keepends=True)
    bench = read_bench(out)
    assert [point.together for point in bench.header.settings.points] == [1, 4]
    # Of two prompts, four to be asked at a time, two of them again.
    assert len(bench.expected) == 2 * (2 + 4)
    shown = capsys.readouterr().out
    assert "batch 2 refilled once, context 128" in shown
    assert "speedup by batch, rows refilled once, context 128" in shown

    out.write_text("".join(whole[:-4]), encoding="utf-8")
    assert not summarise(read_bench(out)).finished
    assert cli.run([*asked, "--out", str(out)]) == 0
    assert summarise(read_bench(out)).finished
    assert out.read_text(encoding="utf-8").startswith("".join(whole[:-4]))


def test_the_worst_case_gains_nothing_and_loses_no_token(measured: Path) -> None:
    summary = summarise(read_bench(measured))
    fixed, adaptive = (
        summary.of(f"never-right:gamma=4,adaptive={choice}")["prose"]
        for choice in ("false", "true")
    )
    assert fixed.holds
    assert adaptive.holds
    assert fixed.speculation.draft_acceptance_rate.value == 0.0
    assert adaptive.speculation.num_draft_tokens < fixed.speculation.num_draft_tokens


def test_the_summary_can_be_shown_again(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "--show", "--out", str(measured)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].endswith("tokens identical on 2 of 2 prompts")
    for part in (
        "native:gamma=4 (candidate)",
        "identity tax",
        "memory, MiB",
        "measuring itself",
        "its steps",
    ):
        assert part in shown
    assert cli.run(["bench", "--show", "--json", "--out", str(measured)]) == 0
    assert json.loads(capsys.readouterr().out)["candidate"] == "native:gamma=4"


def test_a_speedup_of_other_tokens_is_withheld(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", str(measured.with_name("prose.jsonl")), "--tokens", "12", "--no-stock"]
    arguments += [
        "--set",
        "setup.context=128",
        "--candidate",
        "native:gamma=4,fault=skip-first-check",
    ]
    assert cli.run([*arguments, "--out", str(measured.with_name("faulty.jsonl"))]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("SPEEDUP WITHHELD: ")
    assert "withheld" in shown


def test_without_a_verdict_nothing_is_enabled(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routes = tmp_path / "routes.json"
    arguments = ["advise", str(measured), "--price-per-hour", "2", "--out", str(routes)]
    assert cli.run(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("enable: none · ")
    assert "no equivalence verdict was given (--verdict RUN)" in shown
    assert "a million tokens cost" in shown
    assert "--speculative-algorithm STANDALONE" in shown
    assert json.loads(routes.read_text())["routes"]["prose"]["enabled"] is False
    assert cli.run([*arguments, "--previous", str(routes), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proof"]["state"] == "none"


def test_what_is_missing_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["advise", str(tmp_path)]) == 2
    assert "no such measurement; equivcheck bench makes one" in capsys.readouterr().err
    assert cli.run(["advise", str(tmp_path), "--enable-at", "2"]) == 2
    assert "2.0 is not in the range" in capsys.readouterr().err
    assert cli.run(["bench", "--sweep", "bach=1"]) == 2
    assert "has to be one of batch, gamma, context" in capsys.readouterr().err
