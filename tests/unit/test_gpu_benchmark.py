"""The command for GPUs goes on where it stopped, and says of every stage how it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import FULL, REHEARSAL, Stage, finished, run, stages, summarise


@pytest.mark.parametrize("sizes", [FULL, REHEARSAL], ids=["full", "rehearsal"])
def test_every_stage_has_a_name_and_a_limit(sizes: gpu.Sizes, tmp_path: Path) -> None:
    found = list(stages(sizes, folder=tmp_path, device="cuda", dtype="bfloat16"))
    assert len({stage.name for stage in found}) == len(found)
    assert all(0 < stage.minutes <= 10 for stage in found)
    assert {stage.command[0] for stage in found} == {sys.executable}


def test_a_stage_leaves_its_output_and_how_it_ended(tmp_path: Path) -> None:
    good = Stage("good", (sys.executable, "-c", "print('said `this`')"), 1)
    bad = Stage("bad", (sys.executable, "-c", "raise SystemExit(3)"), 1)
    slow = Stage("slow", (sys.executable, "-c", "import time; time.sleep(60)"), 1)
    with (tmp_path / "stages.jsonl").open("w", encoding="utf-8") as file:
        for stage, seconds in ((good, 60.0), (bad, 60.0), (slow, 0.2)):
            file.write(json.dumps(run(stage, folder=tmp_path, seconds=seconds)) + "\n")
    assert {name: record["exit"] for name, record in finished(tmp_path).items()} == {
        "good": 0,
        "bad": 3,
        "slow": None,
    }
    text = summarise(tmp_path, ["good", "bad", "slow", "never"])
    assert "said 'this'" in text
    assert "exit 3" in text
    assert "gave up" in text
    assert "## never\n\nNot run." in text


def test_what_succeeded_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [Stage(name, (sys.executable, "-c", "print(1)"), 1) for name in ("one", "two")]
    monkeypatch.setattr(gpu, "stages", lambda *_, **__: iter(steps))
    arguments = ["gpu", "--rehearse", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--only", "one"])
    assert gpu.main() == 0
    monkeypatch.setattr(sys, "argv", arguments)
    assert gpu.main() == 0
    lines = (tmp_path / "stages.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in lines] == ["one", "two"]
    assert "two: exit 0" in capsys.readouterr().out
