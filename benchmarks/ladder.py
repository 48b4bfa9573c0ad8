"""The native decoder against other people's, on pairs of growing size, in one command.

    python -m benchmarks.ladder [--prompts N] [--tokens N] [--only SHAPE] [--out FOLDER]

Each rung is the bundled pair with its target widened to a shape, the small draft as it is, or on
the last one the small target with rounded weights. It is measured by ``equivcheck bench`` as a
process of its own: all arms in turn, prompt by prompt. Records go to
``FOLDER/ladder-<rung>.jsonl``, the tables to ``FOLDER/ladder.md``. Interrupted, the same command
goes on where it stopped. An idle machine is up to whoever runs it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu_stages import Stage, slug
from benchmarks.ladder_tables import tables
from benchmarks.stage_records import Ended, append, last_records, last_words, record_of
from equivcheck.engines.registry import known_engines
from equivcheck.metrics.records import Bench
from equivcheck.metrics.records_file import is_unfinished, read_bench

SHAPES = ("tiny", "15m", "60m", "0.15b", "0.15b+tiny:3bit")
"""``tiny`` is the bundled pair itself; the others widen its target. The last has another draft, one
that is more often right."""
DTYPES = ("float32", "bfloat16")
GAMMAS = (2, 4)
LOOKED_UP = 6
"""Drafts of prompt lookup, which cost next to nothing, and at most of lookup and model in turn; as
many as flashspec's default takes."""
FOLDER = Path("reports/ladder")
MEASURED = (0, 1)
"""Exit codes of a finished measurement; 1: some candidate's tokens are not the target's."""


def pair_of(shape: str) -> str:
    """The pair of a rung."""
    return shape if shape == "tiny" else f"tiny@{shape}"


def rung_name(shape: str, dtype: str) -> str:
    """``ladder-tiny-15m-float32``."""
    return slug(f"ladder-{pair_of(shape)}-{dtype}")


def others(gammas: Sequence[int], *, flashspec: bool) -> Iterator[str]:
    """The arms of other decoders, each with the draft lengths that the native one gets."""
    yield "transformers:mode=plain,scores=false"
    for gamma in gammas:
        yield f"transformers:mode=assisted,gamma={gamma},scores=false"
    yield f"transformers:mode=lookup,gamma={LOOKED_UP},scores=false"
    if flashspec:
        yield "flashspec:mode=plain"
        for gamma in gammas:
            yield f"flashspec:mode=speculative,gamma={gamma}"
        yield f"flashspec:mode=ngram,gamma={LOOKED_UP}"
        yield "flashspec:mode=composite"


def rungs(
    shapes: Sequence[str],
    *,
    dtype: str,
    prompts: int,
    tokens: int,
    gammas: Sequence[int],
    flashspec: bool,
    folder: Path,
    minutes: float,
) -> Iterator[Stage]:
    """One measurement a shape."""
    for shape in shapes:
        name = rung_name(shape, dtype)
        command = [
            *("equivcheck", "bench", "--pair", pair_of(shape), "--dtype", dtype),
            *("--prompts", str(prompts), "--tokens", str(tokens)),
            *("--out", str(folder / f"{name}.jsonl")),
        ]
        for gamma in gammas:
            command += ["--draft", f"native:gamma={gamma}"]
        for drafter in ("lookup", "mixed"):
            command += ["--draft", f"native:gamma={LOOKED_UP},drafter={drafter}"]
        for engine in others(gammas, flashspec=flashspec):
            command += ["--against", engine]
        yield Stage(name, tuple(command), minutes)


def is_done(stage: Stage, *, folder: Path) -> bool:
    """Whether this very measurement was finished before."""
    record = last_records(folder).get(stage.name)
    path = folder / f"{stage.name}.jsonl"
    return (
        record is not None
        and record.exit in MEASURED
        and record.is_of(stage.command)
        and path.is_file()
        and not is_unfinished(path)
    )


def measured(folder: Path) -> list[Bench]:
    """Every rung that has records there, small ones first."""
    places = [folder / f"{rung_name(shape, dtype)}.jsonl" for dtype in DTYPES for shape in SHAPES]
    return [read_bench(place) for place in places if place.is_file()]


def run(stage: Stage, *, folder: Path, seconds: float) -> Ended:
    """Measure one rung in a process of its own; what it says goes to a file of its name."""
    started, code = time.monotonic(), None
    with (folder / f"{stage.name}.log").open("w", encoding="utf-8") as log:
        command = (sys.executable, "-m", *stage.command)
        with suppress(subprocess.TimeoutExpired):
            code = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, timeout=seconds, check=False
            ).returncode
    spent = time.monotonic() - started
    return record_of(stage.name, stage.command, exit=code, seconds=spent)


def ending(record: Ended, *, folder: Path) -> str:
    """How a stage ended; where it broke, what it said last."""
    spent = f"after {record.seconds} s"
    if record.exit is None:
        return f"out of time {spent}; the same command goes on"
    if record.exit in MEASURED:
        return f"measured {spent}"
    return f"{record.words}: {last_words(folder, record.stage)}"


def numbers(text: str) -> tuple[int, ...]:
    """Read ``2,4``."""
    return tuple(sorted({int(each) for each in text.split(",")}))


def main() -> int:
    """Measure the rungs that are missing, as long as time lasts; write the tables after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder")
    parser.add_argument("--prompts", type=int, default=6, help="of each of five suites")
    parser.add_argument("--tokens", type=int, default=96, help="new tokens a prompt")
    parser.add_argument("--only", action="append", default=[], choices=SHAPES, metavar="SHAPE")
    parser.add_argument("--dtype", default=DTYPES[0], choices=DTYPES)
    parser.add_argument("--gammas", type=numbers, default=GAMMAS, help="draft lengths, as 2,4")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after these")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"folder; default: {FOLDER}")
    arguments = parser.parse_args()
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    flashspec = "flashspec" in known_engines() and find_spec("flashspec") is not None
    if not flashspec:
        print(
            "flashspec is not installed (pip install flashspec==0.3.1 ./examples): "
            "measuring without it"
        )
    chosen = list(
        rungs(
            arguments.only or SHAPES,
            dtype=arguments.dtype,
            prompts=arguments.prompts,
            tokens=arguments.tokens,
            gammas=arguments.gammas,
            flashspec=flashspec,
            folder=folder,
            minutes=arguments.minutes,
        )
    )
    ends = time.monotonic() + 60 * arguments.minutes
    for stage in chosen:
        left = ends - time.monotonic()
        if is_done(stage, folder=folder) or left < 5:
            continue
        record = run(stage, folder=folder, seconds=left)
        append(folder, record)
        print(f"{stage.name}: {ending(record, folder=folder)}", flush=True)
        write_tables(folder)
    write_tables(folder)
    return 0 if all(is_done(stage, folder=folder) for stage in chosen) else 1


def write_tables(folder: Path) -> None:
    """Sum up what is there."""
    (folder / "ladder.md").write_text(tables(measured(folder)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
