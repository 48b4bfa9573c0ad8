"""The measuring loop with engines that need no model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from equivcheck.bench import measure as measuring
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import lent
from equivcheck.metrics.records import Bandwidth, Bench, BenchArm, BenchHeader, BenchSettings, Point
from equivcheck.metrics.records_file import BenchWriter, read_bench
from equivcheck.metrics.summarise import summarise
from tests.unit.make import make_capabilities
from tests.unit.metrics.make import plain, speculative
from tests.unit.seals import reseal

KEYS = ("code/a", "code/b", "code/c", "code/d")
ARMS = (
    BenchArm(name="target", role="target", spec="fake:plain=yes", pair="tiny"),
    BenchArm(name="fast", role="candidate", spec="fake", pair="tiny"),
)


class FakeEngine:
    """Answers at once; breaks on one key where it is told to."""

    def __init__(self, options: Mapping[str, str], setup: EngineSetup, log: list[str]) -> None:
        self.options, self.setup, self.log = options, setup, log

    @property
    def capabilities(self) -> Capabilities:
        return make_capabilities(
            engine="fake",
            num_speculative_tokens=0 if "plain" in self.options else 4,
            exclusive="exclusive" in self.options,
            refuses=("ignore_eos", "min_p") if "refuses" in self.options else (),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.log.append(f"{'plain' if 'plain' in self.options else 'fast'} {len(requests)}")
        for request in requests:
            if request.key == self.options.get("breaks"):
                raise RuntimeError("out of memory")
            if request.key == self.options.get("leaves"):
                sys.exit(0)
            given = plain(request.key) if "plain" in self.options else speculative(request.key)
            if request.key == self.options.get("strays"):
                given = "text"  # type: ignore[assignment]
            if request.key == self.options.get("floats"):
                given = msgspec.structs.replace(given, token_ids=(1.0,))
            yield given

    @property
    def costs(self) -> Any:
        if "prices" in self.options:
            return {"answer": 0.2}
        return () if "plain" in self.options else (f"answered {len(self.log)} times",)

    def close(self) -> None:
        if "unclosed" in self.options:
            raise RuntimeError("device lost")
        self.log.append("closed")


def make_header(
    *, arms: tuple[BenchArm, ...] = ARMS, batches: Sequence[int] = (1,), repeats: int = 1
) -> BenchHeader:
    return BenchHeader(
        schema=1,
        run="fake",
        created="2026-01-01T00:00:00+00:00",
        settings=BenchSettings(
            setup=EngineSetup(device="cpu", batch_size=1),
            arms=arms,
            points=tuple(Point(batch_size=batch, context=128) for batch in batches),
            tokens=30,
            repeats=repeats,
        ),
        prompts={"code": KEYS},
        suites={"code": "d"},
        environment={},
    )


def measure(path: Path, header: BenchHeader, *, resume: bool = False) -> list[str]:
    log: list[str] = []
    requests = {
        "code": tuple(
            Request(key=key, prompt_ids=(1, 2, 3, 4, 5), max_new_tokens=30, ignore_eos=True)
            for key in KEYS
        )
    }
    if resume:
        writer, done = BenchWriter.resume(path, header)
    else:
        writer, done = BenchWriter.create(path, header), Bench(header=header)
    bandwidth = Bandwidth(bytes_per_second=1e9, buffer_bytes=1)
    done = msgspec.structs.replace(done, bandwidth=bandwidth)
    with (
        writer,
        lent({"fake": lambda options, setup: FakeEngine(options, setup, log)}),
    ):
        measuring.measure(header, requests, writer, done=done)
    return log


def test_every_arm_answers_every_prompt_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    log = measure(path, make_header(repeats=2))
    bench = read_bench(path)
    assert len(bench.asked) == len(bench.expected) == 2 * 2 * len(KEYS)
    order = [each.arm for each in bench.measured]
    # Each round starts with another arm.
    assert order == ["target", "fast", "fast", "target"] * len(KEYS)
    # Warm-up and the look at memory come before.
    assert log[:4] == ["plain 1", "plain 1", "fast 1", "fast 1"]
    assert log[-2:] == ["closed", "closed"]
    assert {probe.arm for probe in bench.probed} == {"target", "fast"}
    # What it all cost is asked for at the end, of those that tell.
    assert bench.spent_by(point=0, arm="fast") == (f"answered {len(log) - 2} times",)
    assert bench.spent_by(point=0, arm="target") == ()
    assert summarise(bench).finished


def test_an_arm_that_refuses_what_all_prompts_need_is_named_before_it_is_asked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bench.jsonl"
    arms = (ARMS[0], msgspec.structs.replace(ARMS[1], spec="fake:refuses=yes"))
    with pytest.raises(EngineError, match=r"^arm fast: its engine refuses ignore_eos, which every"):
        measure(path, make_header(arms=arms))
    assert not path.exists()


def test_measuring_counts_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    measure(path, make_header())
    (session,) = read_bench(path).sessions
    assert 0 < session.engine_seconds < session.wall_seconds
    cost = summarise(read_bench(path)).measuring_cost
    assert cost == pytest.approx(1 - session.engine_seconds / session.wall_seconds)


def test_chunks_are_decoded_together_and_share_their_time(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    log = measure(path, make_header(batches=(1, 4)))
    assert "fast 4" in log
    bench = read_bench(path)
    together = [each for each in bench.measured if (each.point, each.arm) == (1, "fast")]
    assert len({each.seconds for each in together}) == 1
    assert [each.generation.key for each in together] == list(KEYS)


def test_an_interrupted_measurement_asks_for_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    broken = make_header(
        arms=(ARMS[0], msgspec.structs.replace(ARMS[1], spec="fake:breaks=code/c"))
    )
    with pytest.raises(EngineError, match="arm fast broke: RuntimeError: out of memory"):
        measure(path, broken)
    kept = read_bench(path)
    assert 0 < len(kept.measured) < len(kept.expected)
    path.write_bytes(path.read_bytes().replace(b"fake:breaks=code/c", b"fake"))
    reseal(path)
    measure(path, make_header(), resume=True)
    bench = read_bench(path)
    assert len(bench.measured) == len(bench.expected)
    assert bench.measured[: len(kept.measured)] == kept.measured


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("leaves=code/c", "arm fast broke: SystemExit: 0"),
        ("strays=code/c", "arm fast gave a value of type str as an answer, not Generation"),
        ("floats=code/c", r"arm fast: no record can hold its answer: token_ids\[0\]: expected"),
    ],
)
def test_what_cannot_be_measured_names_the_arm(option: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    arm = msgspec.structs.replace(ARMS[1], spec=f"fake:{option}")
    with pytest.raises(EngineError, match=f"^{complaint}"):
        measure(path, make_header(arms=(ARMS[0], arm)))
    assert {each.arm for each in read_bench(path).measured} == {"target", "fast"}


def test_what_an_adapter_calls_costs_for_itself_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    priced = msgspec.structs.replace(ARMS[1], spec="fake:prices=true")
    measure(path, make_header(arms=(ARMS[0], priced)))
    bench = read_bench(path)
    assert bench.spent == ()
    assert bench.asked == bench.expected


def test_an_engine_that_breaks_as_it_is_closed_costs_no_figure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bench.jsonl"
    arm = msgspec.structs.replace(ARMS[1], spec="fake:unclosed=yes")
    assert measure(path, make_header(arms=(ARMS[0], arm))).count("closed") == 1
    assert summarise(read_bench(path)).finished
    (record,) = caplog.records
    assert record.getMessage() == "fast (fake) broke as it was closed: RuntimeError: device lost"


def test_a_finished_point_is_not_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    measure(path, make_header())
    assert measure(path, make_header(), resume=True) == []


def test_an_engine_that_leaves_a_prompt_out_is_named() -> None:
    engine = FakeEngine({}, EngineSetup(), [])
    engine.generate = lambda requests: iter(())  # type: ignore[method-assign]
    request = Request(key="code/a", prompt_ids=(1,), max_new_tokens=4)
    with pytest.raises(EngineError, match="arm fast answered 0 of 1 requests"):
        measuring.answers(engine, (request,), arm="fast")
