"""Servers that a table starts: ready, ended with all they started, and clear where they are not."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from equivcheck.core.engine_tables import EngineTable, TimeLimits
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.core.generation import Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.server import ServerProcess, lend, release
from equivcheck.engines.naming import read_spec
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine

from .stub import FakeVllm, serving

SERVED = "-m tests.unit.engines.http.served"
PYTHON = shlex.quote(sys.executable)
SOON = TimeLimits(open_seconds=20.0, close_seconds=5.0)


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found: int = taken.getsockname()[1]
        return found


def table(port: int, command: str = "") -> EngineTable:
    start = command or f"{PYTHON} {SERVED} {port}"
    return EngineTable(engine=f"http://127.0.0.1:{port}", start=start)


def begin(
    given: EngineTable, *, log: Path | None = None, clock: TimeLimits = SOON
) -> ServerProcess:
    url = given.engine
    return lend("mine", given, url, log=log, clock=clock)


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pids: list[int]) -> bool:
    for _ in range(100):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.05)
    return False


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in listed.stdout.split()]


def test_a_server_is_ended_with_all_that_it_started(port: int, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "mine.server.log"
    server = begin(table(port, f"{PYTHON} {SERVED} {port} child"), log=log)
    pids = descendants(server._process.pid)
    assert len(pids) == 3
    assert server.answers()
    release(server)
    assert gone(pids)
    assert not server.answers()
    assert "good night" in log.read_text()


def test_who_shares_a_server_does_not_end_it_for_others(port: int) -> None:
    first = begin(table(port))
    second = begin(table(port))
    assert first is second
    release(second)
    assert first.answers()
    release(first)
    assert not first.answers()


def test_a_server_that_never_gets_ready_is_ended(port: int) -> None:
    command = f"{PYTHON} -c 'import time; print(\"loading\"); time.sleep(600)'"
    with pytest.raises(EngineError, match=r"did not answer at .* within 1 s; last output: loading"):
        begin(table(port, command), clock=TimeLimits(open_seconds=1.0, close_seconds=1.0))


def test_one_that_ends_too_soon_says_its_last_words(port: int) -> None:
    command = f"{PYTHON} -c 'import sys; print(\"no such model\"); sys.exit(3)'"
    with pytest.raises(
        EngineError, match="left with exit code 3 before it was ready; last output: no such model"
    ):
        begin(table(port, command))


def test_one_that_ignores_signals_is_killed(port: int) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    code = f"{ignore}from tests.unit.engines.http.stub import *; Stub(FakeVllm(), port={port}); "
    command = f"{PYTHON} -c {shlex.quote(code + 'import time; time.sleep(600)')}"
    server = begin(table(port, command), clock=TimeLimits(open_seconds=20.0, close_seconds=0.5))
    pids = descendants(server._process.pid)
    release(server)
    assert gone(pids)


def test_what_answers_already_is_not_taken_for_it() -> None:
    with serving(FakeVllm()) as stub:
        port = int(stub.url.rpartition(":")[2])
        with pytest.raises(EngineError, match=r"something answers at .*/v1/models already"):
            begin(table(port))


def test_no_server_outlives_a_run_that_is_killed(port: int) -> None:
    code = f"""
        import sys, time
        from equivcheck.core.engine_tables import EngineTable, TimeLimits
        from equivcheck.engines.http.server import lend
        start = {f"{sys.executable} {SERVED} {port}"!r}
        table = EngineTable(engine="http://127.0.0.1:{port}", start=start)
        server = lend("mine", table, table.engine, log=None, clock=TimeLimits(open_seconds=20.0))
        print(server._process.pid, flush=True)
        time.sleep(600)
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pids = descendants(int(run.stdout.readline()))
    assert len(pids) == 2
    run.kill()
    run.wait()
    run.stdout.close()
    assert gone(pids)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"start": "no-such-program --port 1"}, "there is no program 'no-such-program'"),
        ({"start": " "}, "there is no program ''"),
        ({"start": PYTHON, "engine": "http://example.org"}, "is of another machine"),
    ],
)
def test_what_cannot_be_started(port: int, given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        begin(msgspec.convert({"engine": f"http://127.0.0.1:{port}"} | given, EngineTable))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"engine": "native", "start": "x"}, "start is of a server"),
        ({"engine": "http://h", "ready": "/x"}, "ready is of a server that is started"),
        ({"engine": "http://h", "stop": "x"}, "stop is of a server that is started"),
        ({"engine": "http://h", "start": "x", "isolated": True}, "has a process already"),
        ({"engine": "http://h", "start": "x", "answer_seconds": 3.0}, "say timeout=SECONDS"),
    ],
)
def test_what_does_not_go_together(given: dict[str, object], told: str) -> None:
    tables = {"mine": msgspec.convert(given, EngineTable)}
    with pytest.raises(SettingsError, match=rf"engine\.mine: .*{re.escape(told)}"):
        read_spec("mine", tables)


def test_an_engine_brings_its_server_and_takes_it_along(
    port: int, tmp_path: Path, engine_at: Callable[..., HttpEngine]
) -> None:
    opening = Opening(tables={"mine": table(port)}, clock=SOON, logs=tmp_path)
    engine = load_engine("mine:batch=2", EngineSetup(), opening=opening)
    assert engine.capabilities.batch_size == 2
    request = Request(key="a", prompt_ids=(5, 6), max_new_tokens=2)
    assert [answer.token_ids for answer in engine.generate([request])] == [(6, 7)]
    [pid] = re.findall(r"pid (\d+)", (tmp_path / "mine.server.log").read_text())
    os.kill(int(pid), 9)
    with pytest.raises(
        EngineGoneError, match=r"engine\.mine: its server left with exit code 137; log: "
    ):
        list(engine.generate([request]))
    engine.close()
