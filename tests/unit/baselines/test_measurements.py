"""Measurements of `equivcheck bench` as baselines, from their records to exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from equivcheck.cli import main as cli
from equivcheck.compare.compare import compare
from equivcheck.compare.from_bench import bench_baseline, figures_of, with_bench
from equivcheck.compare.named import renamed
from equivcheck.core.errors import EquivcheckError
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation
from equivcheck.metrics.records import Bench
from equivcheck.metrics.records_file import BenchWriter
from equivcheck.metrics.summarise import summarise
from tests.unit.baselines.make import make_baseline
from tests.unit.metrics.make import make_bench, speculative


def slower(key: str) -> Generation:
    return speculative(key, seconds=0.02 + 0.0001 * int(key.rpartition("-")[2]))


def write(bench: Bench, folder: Path) -> Path:
    path = folder / "bench.jsonl"
    with BenchWriter.create(path, bench.header) as writer:
        writer.append(*bench.probed, *bench.measured, *bench.sessions)
    return folder


def test_figures_are_those_of_the_summary() -> None:
    bench = make_bench(candidate=slower)
    figures, summary = figures_of(bench), summarise(bench)
    facts = summary.facts_of("native:gamma=4")
    assert facts is not None
    assert figures.memory_overhead == facts.memory_overhead
    assert list(figures.times) == ["chat", "code"]
    assert len(figures.times["code"]) == 10
    found = compare(base=bench_baseline(bench, name="a"), new=bench_baseline(bench, name="b"))
    by_prompt = summary.main["code"].speedup
    assert by_prompt is not None
    row = next(row for row in found.rows if row.workload == "code")
    assert row.speedup.base == pytest.approx(by_prompt.geometric_mean.value)
    assert found.word == "SAME OR BETTER"


def test_a_slower_candidate_is_a_regression_with_equal_acceptance() -> None:
    base, new = (bench_baseline(make_bench(candidate=c), name="x") for c in (speculative, slower))
    found = compare(base=base, new=new)
    assert found.word == "REGRESSED"
    assert {row.acceptance.state for row in found.rows} == {"same"}
    assert {row.speedup.state for row in found.rows} == {"worse"}


def test_a_workload_with_other_tokens_has_no_times() -> None:
    wrong = make_bench(
        candidate=lambda key: (
            speculative(key) if key != "code/p-3" else speculative(key, accepted=3)
        )
    )
    assert list(figures_of(wrong).times) == ["chat"]
    found = compare(
        base=bench_baseline(make_bench(), name="a"), new=bench_baseline(wrong, name="b")
    )
    assert found.outcome is Outcome.FAIL
    assert [each.key for each in found.broken] == ["code/p-3"]


def other_tokens(key: str) -> Generation:
    return msgspec.structs.replace(speculative(key), token_ids=(8,) * 30)


def test_a_passing_run_whose_measurement_diverged_fails_and_is_not_saved() -> None:
    wrong = make_bench(candidate=other_tokens)
    run = make_baseline(with_bench(make_baseline(), wrong).cases)
    new = with_bench(run, wrong)
    assert figures_of(wrong).diverged["code"][0] == "code/p-0"
    found = compare(base=with_bench(run, make_bench()), new=new)
    assert found.outcome is Outcome.FAIL
    assert "tokens of code, chat are not the target's in the new measurement" in found.headline
    with pytest.raises(EquivcheckError, match="tokens differ in the measurement: chat, code"):
        renamed(new, "main", forced=None)
    assert renamed(new, "main", forced="known").forced == "known"
    assert renamed(run, "main", forced="known").forced is None


@pytest.mark.parametrize("arms", [(), ("target",)], ids=["nothing", "the target only"])
def test_a_passing_run_whose_measurement_is_empty_is_inconclusive(arms: tuple[str, ...]) -> None:
    bench = make_bench()
    kept = tuple(each for each in bench.measured if each.arm in arms)
    hollow = msgspec.structs.replace(bench, measured=kept)
    found = compare(
        base=with_bench(make_baseline(), bench), new=with_bench(make_baseline(), hollow)
    )
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "the new measurement is unfinished, it has" in found.headline


def test_from_files_to_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(make_bench(), tmp_path / "fast")
    write(make_bench(candidate=slower), tmp_path / "slow")
    assert cli.run(["baseline", "save", "fast", "--name", "speed"]) == 0
    assert cli.run(["compare", "speed", "fast"]) == 0
    assert cli.run(["compare", "speed", "slow"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("REGRESSED — speedup of chat") for line in lines)
    assert "a loss of 10% has to be excluded" in "\n".join(lines)


@pytest.mark.parametrize(
    ("workload", "least", "code"),
    [("code", 0.5, 0), ("code", 50.0, 1), ("cod", 50.0, 3)],
)
def test_bench_exits_by_its_limits(
    workload: str,
    least: float,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(make_bench(), tmp_path / "bench")
    limit = f"workload.{workload}.min_speedup={least}"
    assert cli.run(["bench", "--show", "--out", "bench", "--set", limit, "--json"]) == code
    (found,) = json.loads(capsys.readouterr().out)["limits"]
    assert found["subject"] == "code"


def test_an_unfinished_measurement_is_inconclusive_in_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench()
    whole = str(write(bench, tmp_path / "whole"))
    part = str(
        write(
            msgspec.structs.replace(bench, measured=bench.measured[: len(bench.measured) // 2]),
            tmp_path / "part",
        )
    )
    for arguments, told in (
        (["bench", "--show", "--out", part], "this measurement is unfinished, it has 30 of 60"),
        (["advise", part], "the measurement is unfinished, it has 30 of 60 answers; no advice"),
        (["compare", part, whole], "the base measurement is unfinished, it has 30 of 60 answers"),
        (["compare", whole, part], "the new measurement is unfinished, it has 30 of 60 answers"),
    ):
        assert cli.run(arguments) == 3, arguments
        first = capsys.readouterr().out.splitlines()[0]
        assert first.startswith("INCONCLUSIVE — ")
        assert told in first
    assert not (tmp_path / "part" / "routes.json").exists()
    for arguments in (
        ["bench", "--show", "--out", whole],
        ["advise", whole],
        ["compare", whole, whole],
    ):
        assert cli.run(arguments) == 0, arguments
