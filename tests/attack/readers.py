"""The readers of everything that comes from a file, each with small sound samples of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from equivcheck.advise.advise import advise
from equivcheck.advise.policy import Policy, Proof, read_routes, write_routes
from equivcheck.baselines.store import read_baseline, text_of
from equivcheck.baselines.trend import trends_of
from equivcheck.checks.verdict import judge
from equivcheck.cli.bench_words import lines_of
from equivcheck.compare.compare import compare
from equivcheck.compare.from_bench import bench_baseline
from equivcheck.compare.render import lines_of as compared_lines
from equivcheck.compare.render import shown_lines, trend_lines
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Counts
from equivcheck.core.load_settings import load_settings
from equivcheck.core.load_suites import load_suite
from equivcheck.metrics.load_records import Objectives
from equivcheck.metrics.records import Bench
from equivcheck.metrics.records_file import BenchWriter, read_bench
from equivcheck.metrics.summarise import summarise
from equivcheck.pairs.gguf import read_metadata
from equivcheck.pipeline.rejudge import rejudge
from equivcheck.records.baseline_record import HistoryPoint
from equivcheck.records.records_file import RECORDS_NAME, read_evidence, seal
from equivcheck.records.sample_keys import drawn_request
from equivcheck.records.score_table_file import digest_of_outputs, read_scores, write_scores
from equivcheck.report.terminal import render
from equivcheck.report.view import view_of
from tests.attack.make import ROOT, make_run
from tests.attack.mutate import WAYS, Way, cut, flip, noise, number, put, repeat, truncate
from tests.unit.baselines.make import make_baseline
from tests.unit.capture.draws.fakes import CASES, Dice, make_table
from tests.unit.metrics.make import make_bench, make_loaded
from tests.unit.seals import reseal

BYTES_ONLY = (flip, cut, truncate, repeat, put, noise, noise, noise)


@dataclass(frozen=True)
class Reader:
    """One reader of files, and how it is attacked."""

    name: str
    file: str
    """Name that an input is written under."""
    samples: Sequence[bytes]
    read: Callable[[Path, bytes, bytes], str]
    """Path to write to, sound sample, damaged content: to what came of it, in a word."""
    share: float = 1.0
    """Of all inputs, beside the other readers'."""
    ways: Sequence[Way] = WAYS
    many_lines: bool = False
    """Whether a refusal may take several lines."""


def readers(folder: Path) -> list[Reader]:
    """All of them, with samples made in `folder`."""
    folder.mkdir()
    sealed = [
        make_judged(folder / "sound"),
        make_judged(folder / "wrong", differs=True),
    ]
    return [
        Reader("suite", "suite.jsonl", suites(), read_suite, share=2),
        Reader("settings", "equivcheck.toml", [SETTINGS], read_settings, share=2),
        Reader("records, sealed", RECORDS_NAME, sealed, read_sealed_run, share=2),
        Reader("records, sealed anew", RECORDS_NAME, sealed, read_resealed_run, share=2),
        Reader("measurement, sealed", "bench.jsonl", measurements(folder), read_measured),
        Reader("measurement, sealed anew", "bench.jsonl", measurements(folder), read_remeasured),
        Reader("baseline", "main.json", baselines(), read_saved, share=2),
        Reader("routes", "routes.json", [routes(folder)], read_advice, share=2),
        scores(folder),
        Reader("gguf header", "m.gguf", [gguf(folder)], read_gguf, share=2, ways=GGUF),
        *models(folder),
    ]


SETTINGS = b"""
candidate = "native:gamma=4,drafter=model"
target = "native:gamma=0"
control = "native:gamma=0,width=1"
seed = 7
probe_every = 4
rescore_every = 8
near_tie_ulps = 8.0
profile = "default"
sampled_tokens = 4000
baseline = "main"

[setup]
pair = "tiny"
dtype = "float32"
threads = 1
batch_size = 8

[workload.code]
min_acceptance = 0.5
max_acceptance_drop = 0.05
min_speedup = 1.2
"""


def suites() -> list[bytes]:
    """The first lines of the suites, so that an input is small."""
    return [
        b"".join(path.read_bytes().splitlines(keepends=True)[:4])
        for path in sorted((ROOT / "suites").glob("*.jsonl"))
    ]


def read_suite(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    load_suite(path)
    return "read"


def read_settings(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    load_settings(path)
    return "read"


def make_judged(folder: Path, *, differs: bool = False) -> bytes:
    """The bytes of a finished run."""
    path = make_run(folder, differs=differs)
    evidence = read_evidence(path)
    verdict = judge(evidence)
    seal(path, findings=verdict.findings, sealed=verdict.sealed())
    return path.read_bytes()


def read_sealed_run(path: Path, sample: bytes, content: bytes) -> str:
    """Damage is refused, leaves a run unfinished, or lies behind the last line and is no line."""
    path.write_bytes(content)
    evidence, verdict = rejudge(path)
    if evidence.sealed is None:
        if verdict.outcome is Outcome.PASS:
            raise AssertionError("an unfinished run passed")
        return "unfinished"
    if not path.read_bytes().startswith(sample):
        raise AssertionError("a changed line was taken for what was written")
    return "the same"


def read_resealed_run(path: Path, sample: bytes, content: bytes) -> str:
    """Behind the seal every reader still has bounds of its own, and every face is drawn."""
    path.write_bytes(content)
    reseal(path)
    evidence, verdict = rejudge(path)
    render(view_of(evidence, verdict))
    return verdict.outcome.value


def measurements(folder: Path) -> list[bytes]:
    """One whose arms are asked prompt by prompt, and one under load."""
    loaded = make_loaded(runs=2, requests=2, objectives=Objectives(ttft=0.3, tpot=0.01))
    return [measurement(folder, bench) for bench in (make_bench(prompts=2), loaded)]


def measurement(folder: Path, bench: Bench) -> bytes:
    path = folder / "bench.jsonl"
    with BenchWriter.create(path, bench.header) as writer:
        writer.append(*bench.probed, *bench.measured, *bench.spent, *bench.sessions)
    return path.read_bytes()


def read_measured(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    summary = summarise(read_bench(path))
    if summary.finished and not content.startswith(sample[: sample.rindex(b'{"type":"session"')]):
        raise AssertionError("a changed line was taken for what was measured")
    return "the same" if summary.finished else "unfinished"


def read_remeasured(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    reseal(path)
    list(lines_of(summarise(read_bench(path))))
    return "read"


def baselines() -> list[bytes]:
    """Of a run, of a measurement, and of a run with a measurement and a history."""
    measured = bench_baseline(make_bench(prompts=4), name="main")
    earlier = HistoryPoint(
        created="2026-01-01T00:00:00Z", run="r0", counts={"code": Counts(drafted=80, accepted=40)}
    )
    whole = make_baseline(bench=measured.bench, history=(earlier,) * 3)
    return [text_of(each).encode() for each in (make_baseline(), measured, whole)]


def read_saved(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    base = read_baseline(str(path))
    sound = read_baseline(str(saved(path.with_name("sound.json"), sample)))
    found = compare(base=base, new=sound)
    list(compared_lines(found, command=""))
    list(shown_lines(base))
    list(trend_lines(trends_of(base)))
    return found.outcome.value


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def routes(folder: Path) -> bytes:
    told = advise(
        summarise(make_bench(prompts=4)),
        proof_of=lambda arm: Proof(state="pass", why="run r: equivalent"),
        policy=Policy(),
    )
    write_routes(folder / "routes.json", told)
    return (folder / "routes.json").read_bytes()


def read_advice(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    read_routes(path)
    return "read"


def scores(folder: Path) -> Reader:
    """Damage inside the file, as if its digest in the records had been made anew."""
    asked = [drawn_request(case, round=number, seed=0) for number in (1, 2) for case in CASES]
    drawn = [(request, Dice().answer(request)) for request in asked]
    outputs = {answer.key: answer for _, answer in drawn}
    path = folder / "scores.safetensors"
    write_scores(path, make_table(drawn), about=digest_of_outputs([*outputs], outputs))

    def read(path: Path, sample: bytes, content: bytes) -> str:
        path.write_bytes(content)
        read_scores(path, outputs=outputs)
        return "read"

    return Reader("scores", path.name, [path.read_bytes()], read, share=2, ways=BYTES_ONLY)


def gguf(folder: Path) -> bytes:
    from tests.unit.pairs.make import make_model, vocabulary, write_gguf

    path = write_gguf(folder / "m.gguf", make_model(rows=len(vocabulary())))
    return path.read_bytes()


def read_gguf(path: Path, sample: bytes, content: bytes) -> str:
    path.write_bytes(content)
    read_metadata(path)
    return "read"


def models(folder: Path) -> list[Reader]:
    """A model's configuration and weights, each damaged beside the other as it should be."""
    from tests.small_models import save_pair

    save_pair(folder / "pair")
    kept = {path.name: path.read_bytes() for path in (folder / "pair" / "target").iterdir()}
    return [
        Reader(
            f"model's {name}",
            name,
            [kept[name]],
            partial(read_model, kept=kept),
            share=0.2,
            ways=ways,
        )
        for name, ways in (("config.json", WAYS), ("model.safetensors", SAFETENSORS))
    ]


def in_front(way: Way, end: Callable[[bytes], int]) -> Way:
    """The way, for what stands in front of a model's weights and says where they are."""

    def damage(chance: random.Random, content: bytes) -> bytes:
        return way(chance, content[: end(content)]) + content[end(content) :]

    return damage


def end_of_head(safetensors: bytes) -> int:
    return min(len(safetensors), 8 + int.from_bytes(safetensors[:8], "little"))


FRONT = (flip, cut, put, noise, noise, number)
GGUF = [in_front(way, lambda content: 8000) for way in FRONT] + [truncate]
SAFETENSORS = [in_front(way, end_of_head) for way in FRONT] + [truncate]


def read_model(path: Path, sample: bytes, content: bytes, *, kept: Mapping[str, bytes]) -> str:
    import torch

    from equivcheck.pairs import load
    from equivcheck.pairs.sources import resolve

    folder = path.parent / "model"
    folder.mkdir(exist_ok=True)
    for name, data in {**kept, path.name: content}.items():
        (folder / name).write_bytes(data)
    load._load_model.cache_clear()
    load.load_model(resolve(str(folder)).target, dtype=torch.float32, device="cpu")
    return "read"
