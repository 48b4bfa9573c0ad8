from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from equivcheck.core.errors import OtherRunError, RecordsError
from equivcheck.metrics.records import Bench, BenchHeader, OverheadRecord, Point
from equivcheck.metrics.records_file import BenchWriter, bench_path, is_unfinished, read_bench
from equivcheck.metrics.summarise import summarise
from tests.unit.metrics.make import make_bench
from tests.unit.seals import unseal


def written(path: Path, bench: Bench) -> Path:
    with BenchWriter.create(path, bench.header) as writer:
        writer.append(*bench.probed, *bench.measured, *bench.spent, *bench.sessions)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    told = OverheadRecord(point=0, arm="target", notes=("1 CUDA graphs were captured",))
    bench = msgspec.structs.replace(make_bench(prompts=3), spent=(told,))
    path = written(tmp_path / "deep" / "bench.jsonl", bench)
    assert read_bench(path) == bench
    assert read_bench(path.parent) == bench
    assert not is_unfinished(path)


def test_a_file_names_itself_and_a_folder_its_file() -> None:
    assert bench_path("reports/bench") == Path("reports/bench/bench.jsonl")
    assert bench_path("reports/bench-tiny.jsonl") == Path("reports/bench-tiny.jsonl")


def test_a_torn_tail_is_cut_off_and_gone_on_from(tmp_path: Path) -> None:
    bench = make_bench(prompts=2)
    path = written(tmp_path / "bench.jsonl", bench)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b'{"type":"measured"') + 30])
    assert is_unfinished(path)
    writer, found = BenchWriter.resume(path, bench.header)
    with writer:
        assert found.measured == bench.measured[:-1]
        writer.append(bench.measured[-1])
    assert read_bench(path).measured == bench.measured


def test_a_measurement_is_replaced_by_an_answer_and_by_nothing_less(tmp_path: Path) -> None:
    bench = make_bench(prompts=2)
    path = written(tmp_path / "bench.jsonl", bench)
    before = path.read_bytes()
    with suppress(KeyboardInterrupt), BenchWriter.create(path, bench.header) as writer:
        writer.append(*bench.probed)
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    with suppress(KeyboardInterrupt), BenchWriter.create(path, bench.header) as writer:
        writer.append(*bench.probed, bench.measured[0])
        raise KeyboardInterrupt
    assert read_bench(path).measured == bench.measured[:1]
    assert read_bench(path).probed == bench.probed


def test_another_measurement_is_not_gone_on_with(tmp_path: Path) -> None:
    bench = make_bench(prompts=2)
    path = written(tmp_path / "bench.jsonl", bench)
    settings = msgspec.structs.replace(bench.header.settings, tokens=31)
    other: BenchHeader = msgspec.structs.replace(bench.header, settings=settings)
    with pytest.raises(OtherRunError, match=r"settings\.tokens is 30 there and 31 here"):
        BenchWriter.resume(path, other)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"type":"mesured"}', r"bench\.jsonl:2: type: no record type named 'mesured' \(did you"),
        ('{"type":"session","wall_seconds":"1"}', r"bench\.jsonl:2: wall_seconds: expected"),
        ("{", r"bench\.jsonl:2: not valid JSON"),
        ("HEADER", r"bench\.jsonl:2: a second header"),
        ('"arm":"gone"', r"bench\.jsonl:2: arm: no arm named 'gone'"),
        ('"workload":"prose"', r"bench\.jsonl:2: workload: no workload named 'prose'"),
        ('"point":7', r"bench\.jsonl:2: point: 7, but the header has 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    bench = make_bench(prompts=1)
    path = written(tmp_path / "bench.jsonl", bench)
    unseal(path)
    header, *_ = path.read_text().splitlines()
    measured = msgspec.json.encode(bench.measured[0]).decode()
    for field, found in (
        ("arm", '"arm":"target"'),
        ("workload", '"workload":"chat"'),
        ("point", '"point":0'),
    ):
        if line.startswith(f'"{field}"'):
            line = measured.replace(found, line)
    path.write_text("\n".join([header, header if line == "HEADER" else line]) + "\n")
    with pytest.raises(RecordsError, match=message):
        read_bench(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"type":"spent","point":0,"arm":"\xff"}', r"invalid UTF-8 in a string, near '\\xff'"),
        (b'{"type":"spent","more":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_no_decoder_gets_through_is_named(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    path = written(tmp_path / "bench.jsonl", make_bench(prompts=1))
    unseal(path)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + line + b"\n")
    with pytest.raises(RecordsError, match=rf"bench\.jsonl:2: not valid JSON: {problem}"):
        read_bench(path)


def test_no_measurement_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="no such measurement; equivcheck bench makes one"):
        read_bench(tmp_path)
    (tmp_path / "bench.jsonl").write_text("")
    with pytest.raises(RecordsError, match="its first line is no header"):
        read_bench(tmp_path)
    assert not is_unfinished(tmp_path / "bench.jsonl")


def test_an_older_schema_is_refused(tmp_path: Path) -> None:
    bench = make_bench(prompts=1)
    header = msgspec.structs.replace(bench.header, schema=0)
    path = written(tmp_path / "bench.jsonl", msgspec.structs.replace(bench, header=header))
    with pytest.raises(RecordsError, match="schema: 0, but this equivcheck reads schema 1"):
        read_bench(path)


def test_answers_that_nobody_needs_finish_nothing(tmp_path: Path) -> None:
    """Prompts that were asked again and again at one batch size, and never at another."""
    points = tuple(Point(batch_size=size, context=1024) for size in (1, 2))
    bench = make_bench(prompts=1, workloads=("code",), points=points)
    key, *again = (f"code/p-0{times}" for times in ("", "~2", "~3", "~4"))
    header = msgspec.structs.replace(bench.header, prompts={"code": (key, *again)})
    first = [each for each in bench.measured if each.point == 0]
    measured = [
        msgspec.structs.replace(
            each, chunk=chunk, generation=msgspec.structs.replace(each.generation, key=asked)
        )
        for chunk, asked in enumerate((key, *again))
        for each in first
    ]
    with BenchWriter.create(tmp_path / "bench.jsonl", header) as writer:
        writer.append(*measured)
    assert is_unfinished(tmp_path / "bench.jsonl")
    found = read_bench(tmp_path)
    assert len(found.asked) > len(found.expected) == 3 * (1 + 2)
    summary = summarise(found)
    assert (summary.answers, summary.finished) == (3, False)


def test_a_changed_removed_or_doubled_line_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "bench.jsonl", make_bench(prompts=2))
    whole = path.read_bytes().splitlines(keepends=True)
    for at in range(1, len(whole) - 1):
        changed = whole[at].replace(b'"seal":"', b'"more":1,"seal":"')
        for lines, refused in (
            ([*whole[:at], changed, *whole[at + 1 :]], at + 1),
            ([*whole[:at], *whole[at + 1 :]], at + 1),
            ([*whole[: at + 1], *whole[at:]], at + 2),
        ):
            path.write_bytes(b"".join(lines))
            with pytest.raises(RecordsError, match=rf"bench\.jsonl:{refused}: breaks the seal"):
                read_bench(path)


def test_a_measurement_without_seals_is_read_and_gone_on_with_as_it_is(tmp_path: Path) -> None:
    bench = make_bench(prompts=2)
    path = written(tmp_path / "bench.jsonl", bench)
    unseal(path)
    assert read_bench(path).unsealed
    writer, _ = BenchWriter.resume(path, bench.header)
    with writer:
        writer.append(*bench.sessions)
    assert b'"seal"' not in path.read_bytes()
    assert summarise(read_bench(path)).unsealed
