"""What the GPU command's README answers, from small records made up."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks.gpu_answers import NOT_MEASURED
from benchmarks.gpu_page import readme
from benchmarks.gpu_summary import ADAPTIVE, FIXED, LIBRARIES, answers, predicted
from benchmarks.stage_records import record_of
from equivcheck.core.generation import Generation
from equivcheck.metrics.records import Bandwidth, Bench, BenchArm, Measured, OverheadRecord, Point
from equivcheck.metrics.records_file import BenchWriter
from equivcheck.metrics.summarise import summarise
from tests.unit.metrics.make import CANDIDATE, STEP, make_bench, plain, speculative

GRAPHS = "3 CUDA graphs were captured in 1.50 s and keep 40 MiB"


def never_right(key: str) -> Generation:
    return plain(key, seconds=1.02 * STEP)


def write(folder: Path, stage: str, bench: Bench) -> None:
    with BenchWriter.create(folder / f"bench-{stage}.jsonl", bench.header) as writer:
        writer.append(*bench.probed, *bench.measured, *bench.spent)
        if bench.bandwidth:
            writer.append(bench.bandwidth)


def with_others(bench: Bench, answered: dict[str, Generation]) -> Bench:
    """The same with further arms, which answer every prompt alike."""
    settings = bench.header.settings
    arms = tuple(BenchArm(name=name, role="other", spec=name, pair="tiny") for name in answered)
    header = msgspec.structs.replace(
        bench.header, settings=msgspec.structs.replace(settings, arms=(*settings.arms, *arms))
    )
    more = [
        msgspec.structs.replace(
            each,
            arm=name,
            seconds=sum(step.seconds or 0.0 for step in found.steps),
            generation=msgspec.structs.replace(found, key=each.generation.key),
        )
        for each in bench.measured
        if each.arm == "target"
        for name, found in answered.items()
    ]
    measured: tuple[Measured, ...] = (*bench.measured, *more)
    return msgspec.structs.replace(bench, header=header, measured=measured)


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, str]:
    """Every answer, of a folder that holds all records."""
    worst = {FIXED: plain("k", seconds=1.25 * STEP), ADAPTIVE: never_right("k")}
    speed = with_others(make_bench(), worst)
    speed = msgspec.structs.replace(
        speed,
        bandwidth=Bandwidth(bytes_per_second=1e6, buffer_bytes=1),
        spent=(OverheadRecord(point=0, arm=CANDIDATE, notes=(GRAPHS,)),),
    )
    for stage in ("speed", "worst"):
        write(tmp_path, stage, speed)
    slower = dict(zip((each.arm for each in LIBRARIES), (4.0, 1.5, 3.0, 1.2), strict=True))
    for stage in {each.stage for each in LIBRARIES}:
        arms = [each.arm for each in LIBRARIES if each.stage == stage]
        answered = {arm: plain("k", seconds=slower[arm] * STEP) for arm in arms}
        write(tmp_path, stage, with_others(make_bench(), answered))
    batches = tuple(Point(batch_size=size, context=1024) for size in (1, 2))
    write(tmp_path, "batch", make_bench(points=batches))
    write(tmp_path, "gamma", make_bench())
    write(tmp_path, "close", make_bench(candidate=lambda k: speculative(k, seconds=0.012)))
    write(tmp_path, "ladder-tiny-1b", make_bench(candidate=lambda k: speculative(k, seconds=0.02)))
    copies = [{"bytes_per_second": 3.1e12, "buffer_bytes": 2**30, "clock": "CUDA events"}]
    compared = {"pair": "tiny", "dtype": "bfloat16", "batch_size": 16, "requests": 10}
    compared |= {"contract": "batch-invariant 1088", "requests_with_other_tokens": 0}
    bits = {"positions": 1000, "positions_with_other_bits": 0}
    kept = {"positions_by_slot": [600, 300, 90, 10]}
    torn = bits | {"positions": 400, "positions_with_other_bits": 3}
    several = [
        compared | torn | {"arm": "native:gamma=2", "contract": "batch-invariant 1280"},
        compared | bits | {"arm": "native:gamma=2", "arm_batch_size": 16},
        compared | bits | kept | {"arm": "native:gamma=3", "arm_batch_size": 16},
        compared | bits | {"arm": "native:gamma=3", "arm_batch_size": 1},
        compared | bits | {"arm": "native:gamma=0,width=1", "positions_with_other_bits": 7},
    ]
    for name, records in (("bandwidth", copies), ("identity", several)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        # A writer that was killed leaves a torn line.
        (tmp_path / f"{name}.jsonl").write_text(lines + '{"torn', encoding="utf-8")
    return dict(answers(tmp_path))


def test_what_was_not_measured_says_so(tmp_path: Path) -> None:
    rows = dict(answers(tmp_path))
    assert len(rows) > 15
    assert set(rows.values()) == {NOT_MEASURED}


def test_speedups_over_all_baselines(measured: dict[str, str]) -> None:
    assert measured["over padded plain decoding"].startswith("2.00x [")
    assert measured["over stock one-token decoding"].startswith("1.60x [")
    assert measured["over transformers eager"].startswith("8.00x [")
    assert measured["over transformers compiled"].startswith("3.00x [")
    assert measured["over transformers assisted"].startswith("6.00x [")
    assert measured["over own plain, torch's kernels only"].startswith("2.40x [")
    assert measured["tiny-1b"].startswith("1.50x [")
    assert measured["with a draft close to the target"].startswith("2.50x [")


def test_a_prediction_without_c_names_the_whole_step() -> None:
    bench = make_bench()
    untimed = tuple(
        msgspec.structs.replace(each, draft_token_seconds=None) for each in bench.probed
    )
    words = predicted(summarise(msgspec.structs.replace(bench, probed=untimed)))
    assert words == "predicted 2.00x from steps of 1.500 plain ones; measured over predicted 1.00"


def test_costs_floor_and_memory(measured: dict[str, str]) -> None:
    assert measured["copy bandwidth of the device"].startswith("3,100.0 GB/s")
    assert (
        "predicted 2.00x from c 0.100 and v 1.100; measured over predicted 1.00"
        in (measured["predicted against measured"])
    )
    assert measured["bandwidth floor reached, transformers eager"] == NOT_MEASURED
    assert measured["peak memory over plain decoding's"] == "1.148 times"
    assert measured["identity contract, with the arithmetic it is by"] == "none holds"
    assert measured["cost of capture"] == f"{CANDIDATE}: {GRAPHS}"
    assert measured["step p50 and p99, ms, target"].startswith("10.00 [10.00, 10.00] and 10.00 [")
    # 200 steps of the candidate are too few for a p99.
    told = measured[f"step p50 and p99, ms, {CANDIDATE}"]
    assert told.endswith("and 15.00 (not estimable), 200 steps")


def test_ways_to_launch_tell_of_other_bits(tmp_path: Path) -> None:
    records = [
        {"gamma": gamma, "arm": arm, "step_seconds": [0.004, 0.001, 0.003], "same_bits": same}
        for gamma, arm, same in ((0, "ahead", True), (4, "behind", False))
    ]
    path = tmp_path / "ahead.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    assert dict(answers(tmp_path))["a step by ways to launch kernels"] == (
        "gamma 0, ahead: 3.00 ms; gamma 4, behind: 3.00 ms, with OTHER BITS"
    )


def test_the_floor_is_that_of_the_fastest_copies(tmp_path: Path) -> None:
    bench = msgspec.structs.replace(
        make_bench(), bandwidth=Bandwidth(bytes_per_second=1e6, buffer_bytes=1)
    )
    write(tmp_path, "speed", bench)

    def told() -> str:
        return dict(answers(tmp_path))["bandwidth floor reached, target"]

    assert told().startswith("0.10 of the floor of 1.039 ms")
    copies = [{"bytes_per_second": speed, "buffer_bytes": 1, "clock": ""} for speed in (2e6, 1e6)]
    lines = "".join(json.dumps(record) + "\n" for record in copies)
    (tmp_path / "bandwidth.jsonl").write_text(lines, encoding="utf-8")
    assert told().startswith("0.05 of the floor of 0.519 ms")


def test_sweeps_and_the_worst_case(measured: dict[str, str]) -> None:
    stops = measured["batch size at which it stops paying"]
    assert stops.startswith("nowhere (1: 2.00x [")
    assert measured["best gamma"].startswith(f"{CANDIDATE}: 2.00x [")
    assert measured["a draft that is never right, gamma fixed"].startswith("0.80x [")
    assert measured["a draft that is never right, gamma adaptive"] == (
        "0.98x [0.98, 0.98]; goal of at least 0.97x met"
    )


def test_rows_of_logits_are_summed_by_what_was_compared(measured: dict[str, str]) -> None:
    name = "identity: tiny bfloat16, batch-invariant, plain at batch 16 against"
    clean = "0 of {} rows of logits differ{}, 0 of {} requests have other tokens"
    behind = " (compared behind kept drafts: 400)"
    assert measured[f"{name} speculative at batch 16"] == clean.format("2,000", behind, 20)
    assert measured[f"{name} speculative at batch 1"] == clean.format("1,000", "", 10)
    assert measured[f"{name} plain, one token wide, at batch 16"].startswith("7 of 1,000 rows")


def test_other_tokens_withhold_a_speedup(tmp_path: Path) -> None:
    other = [speculative("k").token_ids[0] + 1]

    def differs(key: str) -> Generation:
        found = speculative(key)
        return msgspec.structs.replace(found, token_ids=(*other, *found.token_ids[1:]))

    write(tmp_path, "speed", make_bench(prompts=3, candidate=differs))
    told = dict(answers(tmp_path))["over padded plain decoding"]
    assert told == "withheld: other tokens on 6 of 6 prompts"


def test_the_readme_holds_answers_before_logs(tmp_path: Path) -> None:
    write(tmp_path, "speed", make_bench())
    (tmp_path / "speed.log").write_text("said `this`\n", encoding="utf-8")
    record = record_of("speed", ("equivcheck", "bench"), seconds=9.5)
    text = readme(tmp_path, ["speed", "never"], {"speed": record})
    assert "other code" not in text
    order = ("| over padded plain decoding | 2.00x", "| code | 0.50", "| speed | gave up after 9.5")
    places = [text.index(part) for part in (*order, "| never | not run |", "said 'this'")]
    assert places == sorted(places)
    record = msgspec.structs.replace(record, code="that")
    text = readme(tmp_path, ["speed", "never"], {"speed": record})
    assert "Measured by other code than what wrote this page: speed." in text


def test_a_bit_that_differed_once_counts(tmp_path: Path) -> None:
    """Of one code; what other code has mended has not."""
    row = {"pair": "tiny", "dtype": "bfloat16", "batch_size": 16, "requests": 10}
    row |= {"contract": "fixed-shape 16x8x1088", "arm": "native:gamma=2"}
    row |= {"requests_with_other_tokens": 0, "positions": 1000}
    found = [
        row | {"positions_with_other_bits": bits, "code": code}
        for code, bits in (("old", 9), ("new", 1), ("new", 0))
    ]
    lines = [json.dumps(record) + "\n" for record in found]
    for first, differ in ((0, 1), (2, 0)):
        (tmp_path / "identity.jsonl").write_text("".join(lines[first:]), encoding="utf-8")
        (told,) = (row for row in answers(tmp_path) if row.question.startswith("identity:"))
        assert told.answer.startswith(f"{differ} of 1,000 rows")
