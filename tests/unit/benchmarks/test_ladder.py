"""The ladder's tables say who is faster, on whose terms, and what was not measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from benchmarks.gpu_stages import Stage
from benchmarks.ladder import SHAPES, is_done, measured, others, pair_of, rung_name, rungs
from benchmarks.ladder_tables import COLUMNS, rung_of, tables
from equivcheck.bench.arms import arms_of
from equivcheck.core.settings import Settings
from equivcheck.metrics.records import Bench, BenchArm, Measured, Role
from equivcheck.metrics.records_file import BenchWriter
from equivcheck.pairs.sources import resolve
from tests.unit.metrics.make import answer, make_bench

PROMPTS = ("code/a", "code/b")
TOKENS = 12
ASSISTED = "transformers:mode=assisted,gamma=2,scores=false"
LIBRARY = "transformers:mode=plain,scores=false"
OTHERS = "flashspec:mode=speculative,gamma=2"
SECONDS = {
    "target": 2.4,
    "stock": 2.0,
    "native:gamma=2": 1.2,
    "native:gamma=4": 1.0,
    LIBRARY: 1.5,
    ASSISTED: 3.0,
    "flashspec:mode=plain": 1.6,
    OTHERS: 0.5,
}
"""For all tokens of a prompt."""


def role_of(name: str) -> Role:
    if name in ("target", "stock"):
        return "target" if name == "target" else "stock"
    return "candidate" if name.startswith("native") else "other"


def make_rung(
    arms: Sequence[str] = tuple(SECONDS), *, differing: Sequence[tuple[str, str]] = ()
) -> Bench:
    """Two prompts; ``differing`` are arms and keys with other tokens than all the rest."""
    plain = {"target": "native:gamma=0", "stock": "native:gamma=0,width=1"}
    made = make_bench(workloads=("code",), prompts=1)
    settings = msgspec.structs.replace(
        made.header.settings,
        arms=tuple(
            BenchArm(name=name, role=role_of(name), spec=plain.get(name, name), pair="tiny")
            for name in arms
        ),
        tokens=TOKENS,
    )
    header = msgspec.structs.replace(
        made.header, settings=settings, prompts={"code": PROMPTS}, run="ladder"
    )
    lines = [
        Measured(
            point=0,
            arm=name,
            workload="code",
            repeat=0,
            chunk=chunk,
            seconds=SECONDS[name],
            generation=answer(
                key,
                blocks=[(2, 1)] * (TOKENS // 2) if "gamma" in name else [(0, 0)] * TOKENS,
                token=8 if (name, key) in differing else 7,
            ),
        )
        for name in arms
        for chunk, key in enumerate(PROMPTS)
    ]
    return Bench(header=header, measured=tuple(lines))


def row_of(page: str, first: str) -> dict[str, str]:
    """The first row of the page that starts so, by column."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {first} |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    return dict(zip(("rung", *COLUMNS), cells, strict=True))


def test_the_fastest_arm_of_each_engine_is_compared() -> None:
    rung = rung_of(make_rung())
    assert rung.best == {"native": "native:gamma=4", "transformers": ASSISTED, "flashspec": OTHERS}
    row = row_of(tables([rung.bench]), "tiny, float32")
    assert row["drafting"] == "native:gamma=4"
    assert (row["prompts"], row["acceptance"][:4], row["tokens/step"]) == ("2", "0.50", "2.00")
    shown = {name: row[name].split()[0] for name in COLUMNS[5:]}
    assert shown == {
        "identity tax": "1.20x",
        "over own one-token plain": "2.00x",
        "over own padded plain": "2.40x",
        "over transformers plain": "1.50x",
        "over transformers drafting": "3.00x",
        "over flashspec": "0.50x",
    }


def test_other_tokens_leave_a_ratio_of_times_and_say_so() -> None:
    page = tables([make_rung(differing=[(OTHERS, "code/b")])])
    row = row_of(page, "tiny, float32")
    marked = [name for name, cell in row.items() if "by time alone" in cell]
    assert marked == ["over flashspec"]
    assert row["over flashspec"].endswith("by time alone, tokens differ on 1 of 2")
    assert "| tiny, float32 | 2/2 | 2/2 | 2/2 | 1/2 |" in page


def test_the_native_decoders_own_divergence_marks_every_ratio() -> None:
    page = tables([make_rung(differing=[("native:gamma=4", "code/a"), (OTHERS, "code/b")])])
    row = row_of(page, "tiny, float32")
    told = {name: cell[-6:] for name, cell in row.items() if "by time alone" in cell}
    assert told == dict.fromkeys(COLUMNS[6:], "1 of 2") | {"over flashspec": "2 of 2"}
    assert "| tiny, float32 | 1/2 | 2/2 | 2/2 | 1/2 |" in page


def test_a_plain_arms_other_tokens_are_its_own_affair() -> None:
    page = tables([make_rung(differing=[("stock", "code/a")])])
    assert "by time alone" not in row_of(page, "tiny, float32")["over own one-token plain"]
    assert "| tiny, float32 | 2/2 | 1/2 | 2/2 | 2/2 |" in page


def test_an_engine_that_is_not_installed_breaks_nothing() -> None:
    page = tables([make_rung([name for name in SECONDS if "flashspec" not in name])])
    row = row_of(page, "tiny, float32")
    assert row["over flashspec"] == "not installed"
    assert row["over transformers plain"].startswith("1.50x")
    assert "| tiny, float32 | 2/2 | 2/2 | 2/2 | not installed |" in page


def test_an_interrupted_rung_is_marked() -> None:
    whole = make_rung()
    assert "UNFINISHED" not in tables([whole])
    kept = tuple(each for each in whole.measured if each.arm not in (OTHERS, ASSISTED))
    page = tables([msgspec.structs.replace(whole, measured=kept)])
    assert "UNFINISHED" in page
    assert row_of(page, "tiny, float32")["over own padded plain"].startswith("2.40x")
    assert "Nothing is measured yet" in tables([])


@pytest.mark.parametrize("flashspec", [True, False])
def test_every_rung_can_be_asked_of_bench(flashspec: bool, tmp_path: Path) -> None:
    found = list(
        rungs(
            SHAPES,
            dtype="float32",
            prompts=2,
            tokens=16,
            gammas=(2, 4),
            flashspec=flashspec,
            folder=tmp_path,
            minutes=1.0,
        )
    )
    assert [stage.name for stage in found] == [rung_name(shape, "float32") for shape in SHAPES]
    for shape, stage in zip(SHAPES, found, strict=True):
        source, small = resolve(pair_of(shape)), resolve("tiny")
        rounded = msgspec.structs.replace(small.target, bits=3)
        assert source.draft == (rounded if shape.endswith("3bit") else small.draft)
        assert any("flashspec" in word for word in stage.command) == flashspec
    arms = arms_of(
        Settings(),
        drafts=["native:gamma=2", "native:gamma=4", "native:gamma=6,drafter=lookup"],
        others=list(others((2, 4), flashspec=flashspec)),
    )
    assert len(arms) == (14 if flashspec else 9)


def test_only_the_same_finished_measurement_is_not_run_again(tmp_path: Path) -> None:
    def stage_of(tokens: int) -> Stage:
        return next(
            rungs(
                ["tiny"],
                dtype="float32",
                prompts=2,
                tokens=tokens,
                gammas=(4,),
                flashspec=False,
                folder=tmp_path,
                minutes=1.0,
            )
        )

    def write(bench: Bench) -> None:
        with BenchWriter.create(tmp_path / f"{stage.name}.jsonl", bench.header) as writer:
            writer.append(*bench.measured)

    stage = stage_of(TOKENS)
    whole = make_rung()
    record = {"stage": stage.name, "command": " ".join(stage.command), "exit": 1}
    write(whole)
    assert not is_done(stage, folder=tmp_path)
    (tmp_path / "stages.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    assert is_done(stage, folder=tmp_path)
    assert not is_done(stage_of(TOKENS + 1), folder=tmp_path)
    assert len(measured(tmp_path)) == 1
    write(msgspec.structs.replace(whole, measured=whole.measured[:-1]))
    assert not is_done(stage, folder=tmp_path)
