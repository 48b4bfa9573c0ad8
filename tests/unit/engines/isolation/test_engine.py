"""Engines in processes of their own that do to these processes what they like."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from equivcheck.capture.ask import ask
from equivcheck.core.engine import Engine
from equivcheck.core.engine_tables import EngineTable, TimeLimits
from equivcheck.core.errors import EngineError, PairError, SettingsError
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.isolation import engine as isolation
from equivcheck.engines.isolation.engine import IsolatedEngine
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine
from equivcheck.records.records import Failed
from tests.unit.engines.isolation.unruly import install
from tests.unit.make import make_request

QUICK = TimeLimits(open_seconds=60, answer_seconds=60, token_seconds=0, close_seconds=60)
IMPATIENT = TimeLimits(open_seconds=60, answer_seconds=5, token_seconds=0, close_seconds=5)

Open = Callable[..., Engine]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the unruly engine in a process of its own, with a log in the test's folder."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(
        options: str = "", *, clock: TimeLimits = QUICK, spec: str = "isolated:unruly"
    ) -> Engine:
        opening = Opening(arm="candidate", clock=clock, logs=tmp_path / "logs")
        return load_engine(f"{spec}:{options}" if options else spec, EngineSetup(), opening=opening)

    return load


def asked(engine: Engine, *names: str) -> tuple[dict[str, int], dict[str, str]]:
    """The number of the process that answered each request, and what the others failed with."""
    requests = [make_request(f"code/{name}") for name in names]
    outcomes = list(ask(engine, requests, arm="candidate"))
    answers = {each.key[5:]: each.token_ids[0] for each in outcomes if isinstance(each, Generation)}
    return answers, {each.key[5:]: each.message for each in outcomes if isinstance(each, Failed)}


def test_it_answers_from_another_process_and_ends_with_it(opened: Open) -> None:
    with closing(opened()) as engine:
        answers, failed = asked(engine, "a", "b")
        assert not failed
        assert len(set(answers.values())) == 1
        pid = answers["a"]
        assert pid != os.getpid()
        assert engine.capabilities.engine == "unruly:when=generate"
        assert engine.capabilities.notes == ("in a process of its own",)
    assert ended(pid)
    assert isinstance(engine, IsolatedEngine)
    assert engine.peak_bytes is not None
    assert 5e6 < engine.peak_bytes < 5e8


def ended(pid: int, *, within: float = 5.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("exit", "its process left with exit code 0 while it answered code/exit; log: "),
        ("kill", "its process was ended by signal 9 (SIGKILL) while it answered"),
        ("exec", "its process left with exit code 0"),
        ("words", "exit code 3 while it answered code/words; log: "),
        ("garbage", "its process sent what is no message: b'HTTP/1.1' is no frame"),
        ("huge", "a message of 4294967295 bytes, at most 1073741824"),
        ("close-all", "its process left with exit code"),
        ("floats", "generation.token_ids[0]: expected `int`, got `float`"),
        ("objects", "no record can hold its answer to 'code/objects'"),
        ("leave", "SystemExit: 0"),
        ("refuse", "has no such sampler"),
    ],
)
def test_one_bad_request_costs_no_other_its_answer(opened: Open, does: str, told: str) -> None:
    with closing(opened()) as engine:
        answers, failed = asked(engine, "a", does, "b")
        assert sorted(answers) == ["a", "b"]
        assert told in failed[does]
        assert failed.keys() == {does}


def test_a_lost_process_is_told_with_arm_engine_log_and_last_words(
    opened: Open, tmp_path: Path
) -> None:
    with closing(opened()) as engine:
        _, failed = asked(engine, "words")
    assert failed["words"] == (
        "candidate (unruly): its process left with exit code 3 while it answered code/words; log: "
        "logs/candidate.log; last output: first words | CUDA error: out of memory"
    )
    assert "CUDA error: out of memory" in (tmp_path / "logs" / "candidate.log").read_text()


def test_what_it_prints_disturbs_no_answer(opened: Open, tmp_path: Path) -> None:
    with closing(opened()) as engine:
        answers, failed = asked(engine, "binary", "b")
        assert len(answers) == 2
        assert not failed
    printed = (tmp_path / "logs" / "candidate.log").read_bytes()
    assert len(printed) > 100_000
    assert printed.endswith(b"plain text on stdout\n")


def test_a_log_is_that_of_the_run(opened: Open, tmp_path: Path) -> None:
    for _ in range(2):
        with closing(opened()) as engine:
            asked(engine, "words", "words-again")
    assert (tmp_path / "logs" / "candidate.log").read_text().count("first words") == 2


def test_what_it_left_running_is_ended(opened: Open) -> None:
    with closing(opened()) as engine:
        answers, _ = asked(engine, "thread", "process", "folder", "b")
        assert len(set(answers.values())) == 1
        pid = answers["b"]
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(found) == 1
    assert ended(pid)
    assert ended(int(found[0]))
    assert Path.cwd() != Path("/")


def test_an_answer_that_does_not_come_is_a_failure_with_the_last_output(opened: Open) -> None:
    with closing(opened(clock=IMPATIENT)) as engine:
        answers, failed = asked(engine, "a", "hang", "b")
        assert sorted(answers) == ["a", "b"]
        assert "its process said nothing for 5 s while it answered" in failed["hang"]
        assert "(answer_seconds), and was ended" in failed["hang"]
        assert failed["hang"].endswith("last output: waiting for the device")


def test_the_time_for_an_answer_grows_with_the_tokens_asked_for() -> None:
    assert TimeLimits(answer_seconds=10, token_seconds=2).seconds_to_answer(tokens=5) == 20
    off = TimeLimits(open_seconds="off", answer_seconds="off", close_seconds="off")
    assert off.seconds_to_answer(tokens=5) is None
    assert off.seconds_to_open() is off.seconds_to_close() is None


@pytest.mark.parametrize("does", ["hang", "exit", "kill", "garbage"])
def test_closing_ends_it_whatever_it_does(opened: Open, does: str) -> None:
    engine = opened(f"when=close,does={does}", clock=IMPATIENT)
    answers, _ = asked(engine, "a")
    with pytest.raises(EngineError, match=r"candidate \(unruly:.*\): its process .* as it was"):
        engine.close()
    assert ended(answers["a"])


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("hang", r"said nothing for 5 s as it was opened \(open_seconds\).*waiting for the device"),
        ("exit", "left with exit code 0 as it was opened"),
        ("kill", "signal 9"),
        ("garbage", "sent what is no message"),
        ("leave", "engine 'unruly:when=open,does=leave' cannot be opened: SystemExit: 0"),
        ("refuse", "has no such sampler"),
    ],
)
def test_an_engine_that_cannot_be_opened_says_why(opened: Open, does: str, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        opened(f"when=open,does={does}", clock=TimeLimits(open_seconds=5 if does == "hang" else 60))


def test_errors_keep_their_kind(opened: Open) -> None:
    with pytest.raises(PairError, match="no weights here"):
        opened("when=open,does=pair")
    with pytest.raises(SettingsError, match=r"engine unruly: gama: unknown key"):
        opened("gama=4")
    with pytest.raises(EngineError, match=r"no engine named 'unrly' \(did you mean 'unruly'\?\)"):
        opened(spec="isolated:unrly")


def test_an_engine_that_never_answers_is_given_up(opened: Open) -> None:
    with closing(opened()) as engine:
        _, failed = asked(engine, *(f"{n}/exit" for n in range(6)))
    told = list(failed.values())
    assert len(told) == 6
    given_up = isolation.MOST_FRUITLESS - 1  # one was spent on the batch
    assert not any(each.startswith("given up") for each in told[:given_up])
    assert all(each.startswith("given up after 4 processes: cand") for each in told[given_up:])


def test_answers_nobody_waits_for_are_not_taken_for_others(opened: Open) -> None:
    with closing(opened()) as engine:
        answers = engine.generate([make_request("code/a"), make_request("code/b")])
        first = next(answers)
        answers.close()  # type: ignore[attr-defined]
        again, failed = asked(engine, "c")
        assert not failed
        assert again["c"] != first.token_ids[0]
        assert ended(first.token_ids[0])


def test_it_ends_when_the_run_is_killed(tmp_path: Path) -> None:
    install(tmp_path)
    script = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from tests.unit.engines.isolation.test_engine import *\n"
        "engine = load_engine('isolated:unruly', EngineSetup())\n"
        "answers, _ = asked(engine, 'process')\n"
        "pid = answers['process']\n"
        "print(pid, open(f'/proc/{pid}/task/{pid}/children').read(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)


def test_a_table_names_another_interpreter(opened: Open, tmp_path: Path) -> None:
    python = tmp_path / "other" / "bin" / "python"
    command = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")]
    subprocess.run(command, check=True)
    table = EngineTable(engine="unruly:when=close", isolated=True, python=str(python))
    opening = Opening(arm="target", tables={"mine": table}, clock=QUICK)
    with pytest.raises(EngineError, match=r"exit code 1 as.*; install equivcheck there"):
        load_engine("mine", EngineSetup(), opening=opening)
    (site,) = (tmp_path / "other" / "lib").glob("python*/site-packages")
    paths = [place for place in sys.path if place and Path(place).is_dir()]
    (site / "all.pth").write_text("\n".join(paths))
    with closing(load_engine("mine:does=nothing", EngineSetup(), opening=opening)) as engine:
        (note,) = engine.capabilities.notes
        assert note.startswith(f"in a process of its own: {python}, Python 3.")
        answers, _ = asked(engine, "a")
        told = Path(f"/proc/{answers['a']}/cmdline").read_bytes().split(b"\0")[0]
        assert told == str(python).encode()
        assert engine.capabilities.engine == "unruly:when=close"


def test_a_table_gives_variables_and_limits(opened: Open, tmp_path: Path) -> None:
    table = EngineTable(
        engine="unruly", isolated=True, env={"UNRULY": "yes"}, answer_seconds=2, token_seconds=0
    )
    opening = Opening(tables={"mine": table}, clock=QUICK)
    with closing(load_engine("mine", EngineSetup(), opening=opening)) as engine:
        answers, _ = asked(engine, "a")
        assert b"UNRULY=yes" in Path(f"/proc/{answers['a']}/environ").read_bytes()
        _, failed = asked(engine, "hang")
        assert "2 s" in failed["hang"]


def test_an_interpreter_that_is_not_there(opened: Open) -> None:
    table = EngineTable(engine="unruly", isolated=True, python="no/such/python")
    opening = Opening(tables={"mine": table})
    with pytest.raises(SettingsError, match="python 'no/such/python': no such interpreter"):
        load_engine("mine", EngineSetup(), opening=opening)
