"""`equivcheck bench --arrivals` and what `advise` makes of it, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.metrics.records_file import read_bench
from equivcheck.metrics.summarise import summarise
from tests.unit.engines.http.stub import Stub, serving
from tests.unit.engines.http.test_vllm_stream import StreamingVllm

CASES = """\
{"equivcheck": 1, "workload": "prose", "description": "three short prompts"}
{"id": "one", "prompt": "Once upon a time", "max_new_tokens": 8}
{"id": "two", "prompt": "def add(a, b):", "max_new_tokens": 8}
{"id": "three", "prompt": "SELECT name FROM", "max_new_tokens": 8}
"""
SMALL = ["--tokens", "8", "--no-stock", "--threads", "1", "--set", "setup.context=128"]


def bench(folder: Path, *more: str) -> list[str]:
    suite = folder / "prose.jsonl"
    suite.write_text(CASES, encoding="utf-8")
    return ["bench", str(suite), *SMALL, "--out", str(folder / "bench.jsonl"), *more]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native decoder under two loads."""
    folder = tmp_path_factory.mktemp("load")
    loads = ["--arrivals", "poisson:50", "--arrivals", "burst:4", "--prompts", "3"]
    limits = ["--goodput", "ttft:60000", "--goodput", "tpot:60000", "--batch-size", "2"]
    assert cli.run(bench(folder, *loads, *limits, "--repeats", "2")) == 0
    return folder / "bench.jsonl"


def test_both_arms_are_asked_at_the_same_times(measured: Path) -> None:
    found = read_bench(measured)
    assert found.asked == found.expected
    times: dict[tuple[int, str, int], list[float]] = {}
    for each in found.measured:
        assert each.load is not None
        times.setdefault((each.point, each.arm, each.repeat), []).append(each.load.at)
    # Three of a workload come one by one, and four at once, one of them asked again.
    assert [len(each) for each in times.values()] == [3] * 4 + [4] * 4
    for repeat in (0, 1):
        assert times[0, "target", repeat] == times[0, "native:gamma=4", repeat]
        assert sorted(set(times[0, "target", repeat]))[0] == 0.0
        assert len(set(times[0, "target", repeat])) == 3
        assert set(times[1, "target", repeat]) == {0.0}
    # Each repeat has times of its own.
    assert times[0, "target", 0] != times[0, "target", 1]


def test_tokens_are_the_targets_and_all_times_are_told(measured: Path) -> None:
    found = read_bench(measured)
    assert all(summarise(found).of("native:gamma=4", point=at)["prose"].holds for at in (0, 1))
    for each in found.measured:
        assert each.load is not None
        assert sum(came.tokens for came in each.load.emissions) == 8
        assert each.load.ttft is not None
        assert 0 < each.load.ttft <= each.load.e2e <= each.seconds


def test_the_account_and_the_document_tell_goodput(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", "--show", "--out", str(measured)]) == 0
    shown = capsys.readouterr().out
    assert "under poisson:50, runs of 3; tokens identical on 3 of 3 prompts" in shown
    assert "good is TTFT 60000 ms, TPOT 60000 ms" in shown
    assert "batch 2, context 128, burst:4" in shown
    assert "at once" in shown
    assert cli.run(["bench", "--show", "--json", "--out", str(measured)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["objectives"] == {"ttft": 60.0, "tpot": 60.0}
    loads = [each["load"] for each in document["arm_summaries"] if each["workload"] == "prose"]
    assert [(each["runs"], each["requests"], each["good"]) for each in loads] == [
        (2, 6, 6),
        (2, 6, 6),
        (2, 8, 8),
        (2, 8, 8),
    ]


def test_a_page_shows_latencies_of_requests(measured: Path) -> None:
    assert cli.run(["report", str(measured.parent)]) == 0
    page = measured.with_name("bench.html").read_text(encoding="utf-8")
    assert "At batch 2, context 128, poisson:50, runs of 3" in page
    assert "Good is TTFT 60000 ms, TPOT 60000 ms." in page
    assert page.count("<td>TTFT</td>") == 8


def test_advice_under_load_says_so(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A threshold that a slow machine could miss would be the reason that is shown.
    lenient = ["--least-speedup", "0.001", "--p99-limit", "1000", "--disable-at", "0"]
    advise = ["advise", str(measured), "--baseline", "target", *lenient]
    assert cli.run(advise) == 0
    shown = capsys.readouterr().out
    load = "under load, poisson:50, runs of 3, good is TTFT 60000 ms, TPOT 60000 ms"
    assert load in shown
    # Two runs bound nothing, however good all requests were.
    assert "goodput ratio has no interval from 2 runs, at least 0.95 is needed" in shown
    routes = json.loads(measured.with_name("routes.json").read_text(encoding="utf-8"))["routes"]
    assert routes["prose"]["load"].startswith("poisson:50")
    assert routes["prose"]["goodput_ratio"]["value"] == 1.0
    assert cli.run([*advise, "--point", "1"]) == 0
    assert "under load, burst:4" in capsys.readouterr().out


def test_an_interrupted_run_is_served_again_as_a_whole(measured: Path, tmp_path: Path) -> None:
    whole = measured.read_text(encoding="utf-8").splitlines(keepends=True)
    at = [place for place, line in enumerate(whole) if '"type":"measured"' in line][4]
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(whole[:at]), encoding="utf-8")
    loads = ["--arrivals", "poisson:50", "--arrivals", "burst:4", "--prompts", "3"]
    limits = ["--goodput", "ttft:60000", "--goodput", "tpot:60000", "--batch-size", "2"]
    assert cli.run(bench(tmp_path, *loads, *limits, "--repeats", "2")) == 0
    found = summarise(read_bench(path))
    assert found.finished
    runs = [each.load.runs for each in found.arm_summaries if each.load]
    assert set(runs) == {2}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--arrivals", "poisson:0"], "--arrivals 'poisson:0': 0 requests a second"),
        (["--goodput", "ttft:5"], "--goodput: it counts requests under load; give --arrivals, too"),
        (["--arrivals", "burst:2", "--goodput", "x:5"], "'x' has to be one of ttft, tpot, e2e"),
        (["--arrivals", "burst:2", "--refills", "1"], "--refills 1: with --arrivals, rows are"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    given: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(bench(tmp_path, *given)) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "bench.jsonl").exists()


def test_an_arm_that_takes_only_lists_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = ["--arrivals", "burst:2", "--against", "transformers:mode=plain"]
    assert cli.run(bench(tmp_path, *beside)) == 2
    told = capsys.readouterr().err
    assert "arm transformers:mode=plain: its engine takes no request while it answers" in told


def test_two_servers_are_asked_in_turn_with_streams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(StreamingVllm()) as plain, serving(StreamingVllm()) as drafting:
        urls = ["--target", f"{plain.url},dtype=float32"]
        urls += ["--candidate", f"{drafting.url},dtype=float32"]
        loads = ["--arrivals", "burst:6", "--goodput", "ttft:60000", "--repeats", "2"]
        assert cli.run(bench(tmp_path, *urls, *loads)) == 0
        streamed = [asked_in_streams(each) for each in (plain, drafting)]
    assert streamed == [12, 12]
    found = read_bench(tmp_path / "bench.jsonl")
    assert found.asked == found.expected
    (candidate,) = (arm.name for arm in found.header.settings.arms if arm.role == "candidate")
    assert [each.arm for each in found.measured[::6]] == ["target", candidate, candidate, "target"]
    for each in found.measured:
        assert each.load is not None
        assert [came.tokens for came in each.load.emissions] == [1, 2, 2, 2, 1]
    assert "12/12" in capsys.readouterr().out


def asked_in_streams(stub: Stub) -> int:
    return sum(bool(body["stream"]) for body in stub.asked("/v1/completions"))
