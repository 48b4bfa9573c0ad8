"""The command for GPUs goes on where it stopped, and says of every stage how it ended."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from itertools import groupby
from pathlib import Path

import pytest
import torch

from benchmarks import bandwidth, gpu, identity
from benchmarks.gpu import finished, pending, rounds, run
from benchmarks.gpu_stages import FULL, GIB, REHEARSAL, Place, Sizes, Stage, anew, fits, stages

PLACE = Place(folder=Path("reports/some-gpu"), device="cuda", dtype="bfloat16", memory=80 * GIB)
MODULES = {
    "benchmarks.bandwidth",
    "benchmarks.identity",
    "benchmarks.products",
    "benchmarks.step_profile",
    "equivcheck",
    "pytest",
}
PROGRAM = """
import sys, time
name = sys.argv[1]
print("said", name, "in", __import__("os").getpid())
if name == "slow":
    time.sleep(60)
if name == "dead":
    __import__("os")._exit(9)
sys.exit({"bad": 3, "told": "no such thing"}.get(name, 0))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for records, beside a module that can be run as a stage."""
    (tmp_path / "acting.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{Path.cwd()}:{tmp_path}")
    out = tmp_path / "out"
    out.mkdir()
    return out


def acts(name: str, *, minutes: float = 1.0, group: str = "one", beside: bool = False) -> Stage:
    return Stage(name, ("acting", name), minutes, group, beside)


def soon() -> float:
    return time.monotonic() + 120


@pytest.mark.parametrize("sizes", [FULL, REHEARSAL], ids=["full", "rehearsal"])
def test_every_stage_has_a_name_a_module_and_a_limit(sizes: Sizes) -> None:
    found = list(stages(sizes, PLACE))
    assert len({stage.name for stage in found}) == len(found)
    assert all(0 < stage.minutes <= 4 * sizes.patience for stage in found)
    assert {stage.command[0] for stage in found} == MODULES
    outs = [word for stage in found for word in stage.command if word.startswith("reports/")]
    benches = [out for out in outs if "/bench-" in out]
    assert len(set(benches)) == len(benches) > 5


def test_stages_of_a_group_follow_each_other() -> None:
    groups = [group for group, _ in groupby(stages(FULL, PLACE), key=lambda stage: stage.group)]
    shared = [group for group in groups if group]
    assert len(set(shared)) == len(shared) > 1


def test_what_is_to_be_measured_is_asked_for() -> None:
    found = {stage.name: " ".join(stage.command) for stage in stages(FULL, PLACE)}
    assert "--worst-case" in found["worst"]
    assert "compiled=true" in found["compiled"]
    assert "mode=assisted" in found["library"]
    assert "--dtype float16" in found["identity-float16"]
    assert "--contract batch-invariant --other-batch-size 1" in found["identity-invariant"]
    assert "gamma=1,2,4,6,7" in found["gamma"]
    assert "batch=2,8,32,64" in found["batch"]


def test_a_pair_that_the_device_cannot_hold_is_left_out() -> None:
    assert [fits(f"tiny@{shape}+0.15b", 80 * GIB) for shape in ("8b", "14b", "32b")] == [
        True,
        True,
        False,
    ]
    assert fits("tiny@32b+0.15b", 140 * GIB)
    assert fits("tiny@32b+0.15b", None)
    assert fits("tiny", GIB)
    assert not any("32b" in stage.name for stage in stages(FULL, PLACE))


def test_stages_share_a_process_and_leave_their_output(folder: Path) -> None:
    run([acts(name) for name in ("good", "bad", "told")], folder=folder, ends=soon())
    done = finished(folder)
    assert {name: record["exit"] for name, record in done.items()} == {
        "good": 0,
        "bad": 3,
        "told": 1,
    }
    said = {name: (folder / f"{name}.log").read_text() for name in done}
    assert said["good"].startswith("said good in ")
    assert len({text.splitlines()[0].rpartition(" ")[2] for text in said.values()}) == 1
    assert "no such thing" in said["told"]


def test_what_takes_too_long_is_given_up_and_the_next_begins(folder: Path) -> None:
    run([acts("slow", minutes=0.02), acts("good")], folder=folder, ends=soon())
    ends = {name: record["exit"] for name, record in finished(folder).items()}
    assert ends == {"slow": None, "good": 0}


def test_what_takes_its_process_with_it_is_given_up(folder: Path) -> None:
    run([acts("good"), acts("dead"), acts("bad")], folder=folder, ends=soon())
    ends = {name: record["exit"] for name, record in finished(folder).items()}
    assert ends == {"good": 0, "dead": None}


def test_nothing_begins_without_time(folder: Path) -> None:
    run([acts("good")], folder=folder, ends=time.monotonic() + 1)
    assert finished(folder) == {}


def test_what_succeeded_is_not_run_again_and_what_failed_comes_last() -> None:
    chosen = [acts("good"), acts("bad"), acts("other", group=""), acts("new", group="")]
    done: dict[str, dict[str, object]] = {"good": {"exit": 0}, "bad": {"exit": None}}
    together = [[stage.name for stage in group] for group in pending(chosen, done)]
    assert together == [["other"], ["new"], ["bad"]]
    assert [len(group) for group in pending(chosen, {})] == [2, 1, 1]


def test_only_what_times_nothing_runs_beside_others() -> None:
    compared = [acts(name, group="", beside=True) for name in ("one", "two")]
    timed = [acts("three"), acts("four"), acts("five", group="")]
    names = [
        [[stage.name for stage in together] for together in processes]
        for processes in rounds(pending([*compared, *timed], {}))
    ]
    assert names == [[["one"], ["two"]], [["three", "four"]], [["five"]]]
    for stage in stages(FULL, PLACE):
        assert stage.beside == (stage.name == "tests" or stage.group == "bits")


def test_stages_divide_the_gammas() -> None:
    asked = [
        stage.command[stage.command.index("--gamma") + 1]
        for stage in stages(FULL, PLACE)
        if "--gamma" in stage.command and stage.beside
    ]
    assert asked == [str(gamma) for gamma in identity.GAMMAS]


def test_the_command_goes_on_and_says_how_stages_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    beside = [acts(name, group="", beside=True) for name in ("one", "two")]
    monkeypatch.setattr(gpu, "stages", lambda *_: iter(beside))
    monkeypatch.setattr(gpu, "device_here", lambda: None)
    arguments = ["gpu", "--rehearse", "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--only", "one"])
    assert gpu.main() == 0
    assert "| two | not run |" in (folder / "README.md").read_text()
    monkeypatch.setattr(sys, "argv", arguments)
    assert gpu.main() == 0
    lines = (folder / "stages.jsonl").read_text().splitlines()
    assert [name for name in ("one", "two") if f'"{name}"' in "".join(lines)] == ["one", "two"]
    assert len(lines) == 2
    assert "two: exit 0 after" in capfd.readouterr().out
    monkeypatch.setattr(sys, "argv", [*arguments, "--again", "--only", "two"])
    assert gpu.main() == 0
    assert len((folder / "stages.jsonl").read_text().splitlines()) == 3
    (folder / "README.md").unlink()
    monkeypatch.setattr(sys, "argv", [*arguments, "--summarise"])
    assert gpu.main() == 0
    assert "| two | exit 0 after" in (folder / "README.md").read_text()
    assert len((folder / "stages.jsonl").read_text().splitlines()) == 3


def test_a_measurement_that_is_run_again_goes_on_with_nothing() -> None:
    for stage in stages(FULL, PLACE):
        measures = stage.command[:2] == ("equivcheck", "bench")
        assert anew(stage).command == (*stage.command, *(["--fresh"] if measures else []))


def test_without_a_device_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "device_here", lambda: None)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 2
    assert "no CUDA device here; --rehearse" in capsys.readouterr().err


def test_copies_have_a_bandwidth() -> None:
    (record,) = bandwidth.measure(torch.device("cpu"), (1,))
    assert record["buffer_bytes"] == 2**20
    assert float(str(record["bytes_per_second"])) > 0
    assert (record["device"], record["clock"]) == ("cpu", "monotonic clock")


def test_identity_is_compared_across_batch_sizes() -> None:
    usual = Namespace(batch_size=16, contract="fixed-shape", other_batch_size=[])
    assert list(identity.arms_of(usual, gamma=1)) == [
        ("native:gamma=1", 16),
        ("native:gamma=0,width=1", 16),
    ]
    assert list(identity.arms_of(usual, gamma=2)) == [("native:gamma=2", 16)]
    several = Namespace(batch_size=16, contract="batch-invariant", other_batch_size=[1])
    assert list(identity.arms_of(several, gamma=1)) == [
        ("native:gamma=1,contract=batch-invariant", 16),
        ("native:gamma=0,width=1,contract=batch-invariant", 16),
        ("native:gamma=1,contract=batch-invariant", 1),
        ("native:gamma=0,contract=batch-invariant", 1),
    ]
