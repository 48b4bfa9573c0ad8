"""Runs one grading job in a child process that can do little harm, and believes little of it.

The child is ``python -I -S`` in its own session and an empty folder of its own, without environment
variables, under limits of processor, memory, file size, processes and output (`inside/`); at the
end of its time its whole process group is killed. It reports on a private pipe. A pass counts only
with a random token that the child gets after the answer's code has run, so leaving early or
printing a success proves nothing.

What this is not: isolation by the kernel. There are no namespaces, no chroot and no system-call
filter. Code that sets out to can get past the audit hook: read what the user may read, and, unless
the harness runs as root and the child as `nobody`, change what the user may change. Its functions
run in the process that runs the tests, so code written to deceive this very harness can make them
pass. It stops accidents and careless code, not an attacker; put a container around those.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.escape import head, tail
from equivcheck.core.graders import Graded, GradingError, Limits

_PACKAGES = str(Path(__file__).resolve().parents[2])
_START_UP_SECONDS = 30.0
"""For the child to get as far as being contained; what is left then is the job's own time."""
_REPORT_BYTES = 64 * 1024
_WHY_CELLS = 300
_LAST_WORDS_BYTES = 2000
_CHUNK = 65_536


class _Message(Struct, frozen=True):
    stage: str
    why: str = ""
    passed: bool = False
    token: str = ""


def run_contained(job: dict[str, Any], *, limits: Limits) -> Graded:
    """Have a child do ``job`` within ``limits``.

    Raises:
        GradingError: the child does not start, cannot be contained, or finds the grader unusable.
    """
    if os.name != "posix":
        raise GradingError("grading by running needs a POSIX system; only exact works here")
    with tempfile.TemporaryDirectory(prefix="equivcheck-", ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:
            _give_to_nobody(folder)
        return _Child(folder, limits=limits).do(job)


def _give_to_nobody(folder: str) -> None:
    from equivcheck.grading.inside.containment import NOBODY

    # Root of a container without a user to give to stays root in the child as well.
    with contextlib.suppress(OSError):
        os.chown(folder, NOBODY, NOBODY)


class _Child:
    """One child, from its start to its certain end."""

    def __init__(self, folder: str, *, limits: Limits) -> None:
        self.limits = limits
        self.runs_code = False
        self.token = secrets.token_hex(32)
        self.printed = 0
        self.last_words = b""
        self.reported = b""
        self.contained = False
        self.ready = False
        receive, send = os.pipe()
        self.report = receive
        code = (
            f"import sys; sys.path.append({_PACKAGES!r})\n"
            f"from equivcheck.grading.inside.main import main; main(report={send})"
        )
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd=folder,
                env={},
                pass_fds=(send,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(receive)
            raise GradingError(f"the sandbox does not start: {error}") from error
        finally:
            os.close(send)

    def do(self, job: dict[str, Any]) -> Graded:
        """Send the job, follow it to its end, and see to it that nothing is left running."""
        self.runs_code = job["kind"] == "python"
        whole = {**job, **msgspec.structs.asdict(self.limits), "paths": _import_paths()}
        try:
            self._send(json.dumps(whole).encode("ascii") + b"\n")
            return self._follow()
        finally:
            # Before it is waited for, so that its number cannot be somebody else's by now.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                assert stream
                stream.close()
            os.close(self.report)

    def _send(self, data: bytes) -> None:
        assert self.process.stdin
        # A child that is gone already is found out by its silence.
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[self.process.stdin.write(data) or 0 :]

    def _follow(self) -> Graded:
        deadline = time.monotonic() + _START_UP_SECONDS
        assert self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            selector.register(self.report, selectors.EVENT_READ)
            while selector.get_map():
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if time.monotonic() >= deadline:
                    return self._too_slow()
                for key, _ in events:
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif key.fd != self.report:
                        self.printed += len(chunk)
                        self.last_words = (self.last_words + chunk)[-_LAST_WORDS_BYTES:]
                        if self.printed > self.limits.output_kib * 1024:
                            return Graded(False, f"prints more than {self.limits.output_kib} KiB")
                    else:
                        was_contained = self.contained
                        if verdict := self._hear(chunk):
                            return verdict
                        if self.contained and not was_contained:
                            deadline = time.monotonic() + self.limits.seconds
        return self._left()

    def _hear(self, chunk: bytes) -> Graded | None:
        """Take what the child reports; the verdict, once there is one."""
        self.reported += chunk
        if len(self.reported) > _REPORT_BYTES:
            return Graded(False, "interferes with its own grading")
        while b"\n" in self.reported:
            line, _, self.reported = self.reported.partition(b"\n")
            try:
                message = msgspec.json.decode(line, type=_Message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return Graded(False, "interferes with its own grading")
            if verdict := self._weigh(message):
                return verdict
        return None

    def _weigh(self, message: _Message) -> Graded | None:
        why = head(message.why, cells=_WHY_CELLS)
        if message.stage == "refused" and not self.contained:
            raise GradingError(f"an answer cannot be graded here: {why}")
        if message.stage == "contained" and not self.contained:
            self.contained = True
        elif message.stage == "ready" and self.contained and not self.ready:
            self.ready = True
            self._send(self.token.encode("ascii"))
        elif message.stage == "unusable" and not self.runs_code:
            raise GradingError(why)
        elif message.stage == "judged" and not message.passed:
            return Graded(False, why)
        elif message.stage == "judged" and self.ready and message.token == self.token:
            return Graded(True, why)
        else:
            return Graded(False, "interferes with its own grading")
        return None

    def _too_slow(self) -> Graded:
        if not self.contained:
            raise GradingError(f"the sandbox has not started within {_START_UP_SECONDS:g} s")
        return Graded(False, f"takes longer than {self.limits.seconds:g} s")

    def _left(self) -> Graded:
        if not self.contained:
            words = tail(self.last_words.decode("utf-8", "replace").strip(), cells=_WHY_CELLS)
            raise GradingError(f"the sandbox does not start: {words or 'no word from it'}")
        return Graded(False, "ends before it is judged")


def _import_paths() -> list[str]:
    return [str(Path(path).resolve()) for path in sys.path if path]
