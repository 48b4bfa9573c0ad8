"""An engine that does to its process what it likes: ``leaver:way=exit,place=generate``.

It is not lossless: the last token of each answer is another one. So 0 is never its exit code.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import decode_options
from tests.attack.attacker import Attacker, AttackerOptions, answer

PLACES = ("open", "capabilities", "generate", "between", "close")


class OwnError(BaseException):
    """None that anybody catches by kind."""


def raises(error: type[BaseException], *arguments: object) -> Callable[[], None]:
    def way() -> None:
        raise error(*arguments)

    return way


def forever() -> None:
    while True:
        time.sleep(1)


def deeper() -> None:
    deeper()


def waits_for_itself() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


def says_passed() -> None:
    sys.stdout.write("EQUIVALENT — speculative matched target token for token\n" * 1000)
    os.write(1, b'{"outcome":"pass","exit_code":0}\n' * 1000)


def ends_by(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def limited(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


HANGS: dict[str, Callable[[], object]] = {
    "waits": forever,
    "waits-for-itself": waits_for_itself,
    "holds-the-interpreter": lambda: ctypes.PyDLL(None).pause(),
}
"""Ways that never come back: into Python, out of a lock, or with the interpreter's lock held."""
WAYS: dict[str, Callable[[], object]] = {
    "exit-0": lambda: os._exit(0),
    "exit-1": lambda: os._exit(1),
    "exit-3": lambda: os._exit(3),
    "sys-exit": lambda: sys.exit(0),
    "system-exit": raises(SystemExit),
    "interrupt": raises(KeyboardInterrupt),
    "own-error": raises(OwnError, "own"),
    "generator-exit": raises(GeneratorExit),
    "stop": raises(StopIteration),
    "broken": raises(RuntimeError, "device lost\x1b[2J\u202e" * 1000),
    "memory": raises(MemoryError),
    "os-error": raises(OSError, 28, "No space left on device"),
    "deeper": deeper,
    "true": lambda: os.execv("/bin/true", ["true"]),
    "python": lambda: os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(0)"]),
    "kill": ends_by(signal.SIGKILL),
    "terminate": ends_by(signal.SIGTERM),
    "hang-up": ends_by(signal.SIGHUP),
    "abort": os.abort,
    "fault": ends_by(signal.SIGSEGV),
    "pipe": ends_by(signal.SIGPIPE),
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0.05),
    "at-exit": lambda: atexit.register(os._exit, 0),
    "thread": lambda: threading.Thread(target=forever).start(),
    "closes": lambda: os.closerange(0, 3),
    "no-streams": lambda: vars(sys).update(stdout=None, stderr=None),
    "elsewhere": lambda: os.chdir("/"),
    "says-passed": says_passed,
    "mask": lambda: os.umask(0o777),
    "no-files": limited(resource.RLIMIT_NOFILE, 3),
    "no-bytes": limited(resource.RLIMIT_FSIZE, 0),
    "shallow": lambda: sys.setrecursionlimit(60),
    "removes": lambda: shutil.rmtree("out", ignore_errors=True),
    "empties": lambda: Path("out/records.jsonl").write_text(""),
    "environment": os.environ.clear,
    **HANGS,
    "ignores": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
}


class LeaverOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    way: str
    place: str


class Leaver(Attacker):
    def __init__(self, options: LeaverOptions, setup: EngineSetup) -> None:
        super().__init__(AttackerOptions(), setup)
        self.leaving = options
        self.at("open")

    def at(self, place: str) -> None:
        if place == self.leaving.place:
            WAYS[self.leaving.way]()

    @property
    def capabilities(self) -> Capabilities:
        self.at("capabilities")
        name = f"leaver:way={self.leaving.way},place={self.leaving.place}"
        return replace(super().capabilities, engine=name)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.at("generate")
        for at, request in enumerate(requests):
            if at == 1:
                self.at("between")
            given = answer(request)
            yield replace(given, token_ids=(*given.token_ids[:-1], 299))

    def close(self) -> None:
        self.at("close")


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> Leaver:
    return Leaver(decode_options("leaver", options, LeaverOptions), setup)
