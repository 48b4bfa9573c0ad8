"""An engine that does to its process what engines' libraries do, at the request that names it.

``unruly:when=generate`` does what a request's key ends with (``code/exit``); ``when=open`` and
``when=close`` do what `does` says then.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, PairError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import decode_options


class UnrulyOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    when: Literal["open", "generate", "close"] = "generate"
    does: str = "nothing"


def connections() -> list[int]:
    """Descriptors of this process's sockets."""
    found = []
    for descriptor in range(3, 64):
        try:
            with socket.socket(fileno=os.dup(descriptor)):
                found.append(descriptor)
        except OSError:
            continue
    return found


def sends_garbage() -> None:
    for descriptor in connections():
        os.write(descriptor, b"HTTP/1.1 200 OK\r\n\r\n")


def announces_too_much() -> None:
    for descriptor in connections():
        os.write(descriptor, b"eqv1\xff\xff\xff\xff")


def hangs() -> None:
    sys.stdout.write("waiting for the device\n")
    time.sleep(3600)


def prints_binary() -> None:
    os.write(1, bytes(range(256)) * 400)
    sys.stdout.write("plain text on stdout\n")


def leaves_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(3600,)).start()


def leaves_a_process() -> None:
    subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL)


def refuses() -> None:
    raise EngineError("has no such sampler")


def has_no_pair() -> None:
    raise PairError("no weights here")


def says_last_words() -> None:
    sys.stderr.write("first words\nCUDA error: out of memory\n")
    os._exit(3)


DOES: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(0),
    "leave": lambda: sys.exit(0),
    "words": says_last_words,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "hang": hangs,
    "binary": prints_binary,
    "garbage": sends_garbage,
    "huge": announces_too_much,
    "thread": leaves_a_thread,
    "process": leaves_a_process,
    "folder": lambda: os.chdir("/"),
    "close-all": lambda: os.closerange(0, 64),
    "refuse": refuses,
    "pair": has_no_pair,
}


class UnrulyEngine:
    def __init__(self, options: UnrulyOptions, setup: EngineSetup) -> None:
        self.options, self.setup = options, setup
        self.act(options.does, when="open")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine=f"unruly:when={self.options.when}", device="cpu", dtype=self.setup.dtype
        )

    def act(self, does: str, *, when: str) -> None:
        if when == self.options.when and does in DOES:
            DOES[does]()

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            does = request.key.rpartition("/")[2]
            self.act(does, when="generate")
            yield Generation(
                key=request.key,
                token_ids=self.tokens(does),
                finish_reason="length",
                prompt_tokens=len(request.prompt_ids),
            )

    def tokens(self, does: str) -> tuple[Any, ...]:
        """The process's number, so that a test can tell one process from another."""
        return {"floats": (1.5,), "objects": (object(),)}.get(does, (os.getpid(),))

    def close(self) -> None:
        self.act(self.options.does, when="close")


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> UnrulyEngine:
    return UnrulyEngine(decode_options("unruly", options, UnrulyOptions), setup)


def install(folder: Path) -> None:
    """Make a folder, once it is searched for modules, one in which a package has this engine."""
    installed = folder / "unruly-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        f"[equivcheck.engines]\nunruly = {__name__}:open_engine\n"
    )
