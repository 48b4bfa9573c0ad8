"""The command for GPUs goes on where it stopped, and says of every stage how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from filelock import FileLock

from benchmarks import gpu
from benchmarks.gpu import pending, rounds, run
from benchmarks.gpu_stages import FULL, GIB, REHEARSAL, Place, Stage, anew, stages
from benchmarks.stage_records import (
    Ended,
    append,
    code_of,
    keep,
    last_records,
    record_of,
    records,
)

PLACE = Place(folder=Path("reports/some-gpu"), device="cuda", dtype="bfloat16", memory=80 * GIB)
PROGRAM = """
import signal, sys, time
name = sys.argv[1]
print("said", name, "in", __import__("os").getpid())
if name == "slow":
    time.sleep(60)
if name == "stuck":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(60)
if name == "waits":
    open(sys.argv[2], "w").write(str(__import__("os").getpid()))
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


def test_stages_share_a_process_and_leave_their_output(folder: Path) -> None:
    run([acts(name) for name in ("good", "bad", "told")], folder=folder, ends=soon())
    done = last_records(folder)
    assert {name: record.exit for name, record in done.items()} == {
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
    ends = {name: record.exit for name, record in last_records(folder).items()}
    assert ends == {"slow": None, "good": 0}


def test_what_takes_its_process_with_it_ends_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run([acts("good"), acts("dead"), acts("bad")], folder=folder, ends=soon())
    ends = {name: record.exit for name, record in last_records(folder).items()}
    assert ends == {"good": 0, "dead": 9, "bad": 3}
    assert "dead: exit 9 after" in (said := capfd.readouterr().out)
    assert "bad: exit 3 after" in said


def test_how_a_failure_went_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run([acts("told")], folder=folder, ends=soon())
    assert capfd.readouterr().out.endswith("s: no such thing\n")


def test_nothing_begins_without_time(folder: Path) -> None:
    long = acts("good")._replace(least=500.0)
    run([long], folder=folder, ends=soon())
    assert last_records(folder) == {}
    # In one process, what takes less may still be worth beginning.
    run([acts("bad"), long, acts("told")], folder=folder, ends=soon())
    assert list(last_records(folder)) == ["bad", "told"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_process_does_not_outlive_what_asked_for_it(folder: Path, how: signal.Signals) -> None:
    """And the stage that it was in goes on later, as if it had not been tried."""
    told = folder / "pid"
    stage = Stage("waits", ("acting", "waits", str(told)), 1.0)
    program = (
        "import sys\n"
        "from benchmarks import gpu\n"
        "from benchmarks.gpu_stages import Stage\n"
        f"gpu.stages = lambda *_: iter([{stage!r}])\n"
        "gpu.device_here = lambda: None\n"
        f"sys.argv = ['gpu', '--rehearse', '--out', {str(folder)!r}]\n"
        "gpu.interruptible()\n"
        "sys.exit(gpu.main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as asking:
        wait_for(lambda: told.is_file() and bool(told.read_text()))
        asking.send_signal(how)
    assert asking.returncode == -how
    wait_for(lambda: not is_running(int(told.read_text())))
    done = last_records(folder)
    assert (done["waits"].ended, done["waits"].words) == (False, "did not end")
    assert names_of(pending([stage], done)) == [["waits"]]


def wait_for(happens: Callable[[], bool]) -> None:
    ends = soon()
    while not happens():
        assert time.monotonic() < ends, "waited for nothing"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # It has gone in between, or this system has no such files.
        return not Path("/proc/self/stat").is_file()


def ended(stage: Stage, *, exit: int | None, seconds: float = 1.0, code: str = "") -> Ended:
    found = record_of(stage.name, stage.command, exit=exit, seconds=seconds)
    return msgspec.structs.replace(found, code=code or found.code)


def names_of(processes: Iterable[list[Stage]]) -> list[list[str]]:
    return [[stage.name for stage in together] for together in processes]


def test_what_succeeded_is_not_run_again_and_what_failed_comes_last() -> None:
    good, bad, slow = (acts(name) for name in ("good", "bad", "slow"))
    chosen = [good, bad, slow, acts("other", group=""), acts("new", group="")]
    tried = [ended(good, exit=0), ended(bad, exit=1), ended(slow, exit=None, seconds=60.0)]
    done = {record.stage: record for record in tried}
    assert names_of(pending(chosen, done)) == [["other"], ["new"], ["bad", "slow"]]
    assert [len(group) for group in pending(chosen, {})] == [3, 1, 1]


def test_what_there_was_no_time_for_goes_on_first() -> None:
    cut, killed, new = (acts(name) for name in ("cut", "killed", "new"))
    done = {"cut": ended(cut, exit=None, seconds=5.0)}
    done["killed"] = record_of(killed.name, killed.command, ended=False)
    assert names_of(pending([cut, killed, new], done)) == [["cut", "killed", "new"]]


def test_what_other_code_measured_is_measured_anew() -> None:
    chosen = [stage for stage in stages(FULL, PLACE) if stage.name in ("speed", "batch")]
    done = {each.name: ended(each, exit=0, code="other") for each in chosen}
    (together,) = pending(chosen, done)
    assert together == [anew(stage) for stage in chosen]
    done["batch"] = ended(anew(chosen[1]), exit=None)
    (together,) = pending(chosen, done)
    assert together == [anew(chosen[0]), chosen[1]]


def test_a_rehearsal_stands_for_nothing() -> None:
    done = {each.name: ended(each, exit=0) for each in stages(REHEARSAL, PLACE)}
    left = {
        stage.name for together in pending(list(stages(FULL, PLACE)), done) for stage in together
    }
    same = {"tests", "bandwidth", "products"}
    assert left == {stage.name for stage in stages(FULL, PLACE)} - same


def test_what_begins_anew_leaves_nothing_of_before(folder: Path) -> None:
    """Else a process that ended while it loaded would leave others' records to go on with."""
    before = folder / "bench-dead.jsonl"
    before.write_text("of other code", encoding="utf-8")
    command = ("acting", "dead", "--out", str(before), "--fresh")
    run([Stage("dead", command, 1.0)], folder=folder, ends=soon())
    assert not before.exists()
    (record,) = last_records(folder).values()
    assert record.command == f"acting dead --out {before}"
    # Where records go is no part of what is measured.
    elsewhere = Stage("dead", ("acting", "dead", "--out", "elsewhere"), 1.0)
    assert record.is_of(elsewhere.command)
    assert not record.is_of(("acting", "good"))


def test_a_stage_that_cannot_be_interrupted_ends_with_its_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "from benchmarks import gpu_worker\ngpu_worker.GRACE = 0.5\ngpu_worker.main()\n"
    (folder.parent / "impatient.py").write_text(program, encoding="utf-8")
    runs = subprocess.run

    def impatient(words: Sequence[str], **options: Any) -> Any:
        return runs([words[0], "-m", "impatient", *words[3:]], **options)

    monkeypatch.setattr(subprocess, "run", impatient)
    run([acts("stuck", minutes=0.01), acts("good")], folder=folder, ends=soon())
    ends = {name: record.exit for name, record in last_records(folder).items()}
    assert ends == {"stuck": 1, "good": 0}


def test_records_say_whose_code_it_was_and_a_torn_line_is_cut(folder: Path) -> None:
    append(folder, record_of("one", ("acting", "one"), exit=0, seconds=1.26))
    with (folder / "stages.jsonl").open("ab") as file:
        file.write(b'{"stage": "two", "exi')
    (found,) = last_records(folder).values()
    assert (found.code, found.seconds, found.command) == (code_of("acting"), 1.3, "acting one")
    keep(folder)
    append(folder, record_of("two", ("acting",), ended=False))
    assert list(last_records(folder)) == ["one", "two"]
    keep(folder, forgotten=["one"])
    assert list(last_records(folder)) == ["two"]
    # The tests of GPUs are run by one stage alone.
    assert code_of("pytest") != code_of("equivcheck") == code_of("benchmarks.identity")


def test_only_what_times_nothing_runs_beside_others() -> None:
    compared = [acts(name, group="", beside=True) for name in ("one", "two")]
    timed = [acts("three"), acts("four"), acts("five", group="")]
    names = [names_of(processes) for processes in rounds(pending([*compared, *timed], {}))]
    assert names == [[["one"], ["two"]], [["three", "four"]], [["five"]]]
    for stage in stages(FULL, PLACE):
        assert stage.beside == (stage.name == "tests" or stage.group == "bits")


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
    assert [record.stage for record in records(folder) if record.ended] == ["one", "two"]
    assert "two: exit 0 after" in capfd.readouterr().out
    assert gpu.main() == 0
    assert capfd.readouterr().out == ""
    monkeypatch.setattr(sys, "argv", [*arguments, "--again", "--only", "two", "--minutes", "0"])
    assert gpu.main() == 1
    assert list(last_records(folder)) == ["one"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert gpu.main() == 0
    assert [record.stage for record in records(folder) if record.ended] == ["one", "two"]
    (folder / "README.md").unlink()
    monkeypatch.setattr(sys, "argv", [*arguments, "--summarise"])
    assert gpu.main() == 0
    assert "| two | exit 0 after" in (folder / "README.md").read_text()
    with FileLock(folder / gpu.LOCK):
        monkeypatch.setattr(sys, "argv", arguments)
        assert gpu.main() == 2
    assert "another process is measuring into it" in capfd.readouterr().err
    monkeypatch.setattr(sys, "argv", [*arguments, "--only", "tow"])
    with pytest.raises(SystemExit, match="2"):
        gpu.main()
    assert "no stage named 'tow' (did you mean 'two'?); known: one, two" in capfd.readouterr().err


def test_without_a_device_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "device_here", lambda: None)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 2
    assert "no CUDA device here; --rehearse" in capsys.readouterr().err
