"""Measuring arms one after the other, and engines in processes of their own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import torch

from equivcheck.bench.probing import measure_memory
from equivcheck.cli.bench_words import lines_of
from equivcheck.core.errors import EngineError
from equivcheck.core.settings import EngineSetup, Order
from equivcheck.engines.registry import load_engine
from equivcheck.metrics.records import Bench, BenchHeader, Memory, Probed
from equivcheck.metrics.records_file import read_bench
from equivcheck.metrics.summarise import summarise
from tests.unit.bench.test_measure import ARMS, KEYS, make_header, measure
from tests.unit.engines.isolation.unruly import install
from tests.unit.make import make_request
from tests.unit.seals import reseal

ONE_AFTER_THE_OTHER = ["target"] * len(KEYS) + ["fast"] * len(KEYS)


def headed(*, order: Order | None = None, option: str = "") -> BenchHeader:
    arm = msgspec.structs.replace(ARMS[1], spec=f"fake:{option}") if option else ARMS[1]
    header = make_header(arms=(ARMS[0], arm))
    settings = msgspec.structs.replace(header.settings, order=order or "auto")
    return msgspec.structs.replace(header, settings=settings)


@pytest.mark.parametrize(
    "header", [headed(order="one at a time"), headed(option="exclusive=yes")], ids=["asked", "told"]
)
def test_arms_are_measured_one_after_the_other(header: BenchHeader, tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    log = measure(path, header)
    bench = read_bench(path)
    assert [each.arm for each in bench.measured] == ONE_AFTER_THE_OTHER
    assert bench.asked == bench.expected
    assert all(probe.alone for probe in bench.probed)
    last_of_target = max(at for at, line in enumerate(log) if line.startswith("plain"))
    assert "closed" in log[last_of_target : log.index("fast 1")]
    assert any("one after the other" in line for line in lines_of(summarise(bench)))


def test_in_turn_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    measure(path, headed(order="in turn", option="exclusive=yes"))
    bench = read_bench(path)
    assert [each.arm for each in bench.measured] == ["target", "fast", "fast", "target"] * 2
    assert not any(probe.alone for probe in bench.probed)
    assert not any("one after the other" in line for line in lines_of(summarise(bench)))


def test_an_arm_that_is_measured_is_not_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    with pytest.raises(EngineError, match="out of memory"):
        measure(path, headed(order="one at a time", option="breaks=code/c"))
    path.write_bytes(path.read_bytes().replace(b"fake:breaks=code/c", b"fake"))
    reseal(path)
    log = measure(path, headed(order="one at a time"), resume=True)
    assert not any(line.startswith("plain") for line in log)
    bench = read_bench(path)
    assert bench.asked == bench.expected


def test_the_memory_of_another_process_is_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with closing(load_engine("isolated:unruly", EngineSetup())) as engine:

        def call() -> None:
            list(engine.generate([make_request("code/a")]))

        held = measure_memory(engine, call, device=torch.device("cpu"))
        assert held.measured_by == "peak RSS of its process"
        assert held.peak == held.process
        assert held.peak is not None
        assert held.peak > 5e6
        assert measure_memory(engine, call, device=torch.device("cuda")) == Memory()


def test_a_process_and_tensors_are_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    measure(path, headed())
    bench = read_bench(path)
    tensors = Memory(target=100, measured_by="peak RSS")
    process = Memory(process=200, measured_by="peak RSS of its process")
    assert overhead(bench, tensors, process) is None
    assert overhead(bench, process, process) == 1.0
    assert overhead(bench, tensors, tensors) == 1.0


def overhead(bench: Bench, target: Memory, fast: Memory) -> float | None:
    held = {"target": target, "fast": fast}
    probed: list[Probed] = [
        msgspec.structs.replace(probe, memory=held[probe.arm]) for probe in bench.probed
    ]
    summary = summarise(msgspec.structs.replace(bench, probed=tuple(probed)))
    (facts,) = (each for each in summary.facts if each.arm == "fast")
    return facts.memory_overhead
