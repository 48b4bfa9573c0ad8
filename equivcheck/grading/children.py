"""Child processes that grade: started, followed to a verdict or a limit, and ended for certain.

A child says ``limited`` on a private pipe once its limits are in force; its time starts then. The
verdict comes on the pipe of the child that judges. What else a child prints is counted, and kept
only to say why it did not start.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.escape import head, tail
from equivcheck.core.graders import Graded, GradingError, GradingLimits

_START_UP_SECONDS = 30.0
"""For a child to get as far as being limited; what is left then is the job's own time."""
_REPORT_BYTES = 64 * 1024
_WHY_CELLS = 300
_LAST_WORDS_BYTES = 2000
_CHUNK = 65_536


class _Message(Struct, frozen=True):
    stage: str
    why: str = ""
    passed: bool = False


class Child:
    """One child, and what has been heard of it."""

    def __init__(
        self, command: list[str], *, job: dict[str, Any], folder: str, pipes: Sequence[int] = ()
    ) -> None:
        """Start it.

        Args:
            command: What to start; ``REPORT`` in it becomes the number of the private pipe.
            job: What it reads from stdin.
            folder: Where it starts.
            pipes: File descriptors that it inherits beside its own.

        Raises:
            GradingError: it does not start.
        """
        self.limited = False
        self.printed = 0
        self._last_words = b""
        self._reported = b""
        self.report, send = os.pipe()
        try:
            self.process = subprocess.Popen(
                [part.replace("REPORT", str(send)) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd=folder,
                env={},
                pass_fds=(send, *pipes),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self.report)
            raise GradingError(f"the sandbox does not start: {error}") from error
        finally:
            os.close(send)
        assert self.process.stdin
        assert self.process.stdout
        self.output = self.process.stdout.fileno()
        data = json.dumps(job).encode("ascii") + b"\n"
        # A child that is gone already is found out by its silence.
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stdin:
            while data:
                data = data[stdin.write(data) or 0 :]

    def end(self) -> None:
        """See to it that nothing of it is left running."""
        # Before it is waited for, so that its number cannot be somebody else's by now.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        os.close(self.report)

    def take(self, chunk: bytes) -> None:
        """Count what it has printed."""
        self.printed += len(chunk)
        self._last_words = (self._last_words + chunk)[-_LAST_WORDS_BYTES:]

    def hear(self, chunk: bytes) -> Graded | None:
        """Take what it reports; the verdict, once there is one.

        Raises:
            GradingError: it cannot be limited, or finds the grader unusable.
        """
        self._reported += chunk
        if len(self._reported) > _REPORT_BYTES:
            raise GradingError("a grader reports what it never would")
        while b"\n" in self._reported:
            line, _, self._reported = self._reported.partition(b"\n")
            message = msgspec.json.decode(line, type=_Message)
            why = head(message.why, cells=_WHY_CELLS)
            if message.stage == "refused":
                raise GradingError(f"an answer cannot be graded here: {why}")
            if message.stage == "unusable":
                raise GradingError(why)
            if message.stage == "judged":
                return Graded(message.passed, why)
            self.limited = True
        return None

    def check_started(self) -> None:
        """Raises GradingError where it has ended before it was limited."""
        if not self.limited:
            words = tail(self._last_words.decode("utf-8", "replace").strip(), cells=_WHY_CELLS)
            raise GradingError(f"the sandbox does not start: {words or 'no word from it'}")


def follow(children: Sequence[Child], *, limits: GradingLimits) -> Graded:
    """Wait for a verdict, or for a limit to be passed.

    Raises:
        GradingError: a child does not get as far as being limited, or finds the grader unusable.
    """
    deadline = time.monotonic() + _START_UP_SECONDS
    started = False
    reports = {child.report for child in children}
    owners = {fd: child for child in children for fd in (child.output, child.report)}
    with selectors.DefaultSelector() as selector:
        for fd in owners:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            events = selector.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                if not started:
                    raise GradingError(f"a child has not started within {_START_UP_SECONDS:g} s")
                return Graded(False, f"takes longer than {limits.seconds:g} s")
            # Reports first: a child that has ended since closed its output behind its last one.
            for key, _ in sorted(events, key=lambda event: event[0].fd not in reports):
                child, chunk = owners[key.fd], os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                    if key.fd == child.output:
                        child.check_started()
                elif key.fd == child.report:
                    if verdict := child.hear(chunk):
                        return verdict
                else:
                    child.take(chunk)
                    if child.limited and child.printed > limits.output_kib * 1024:
                        return Graded(False, f"prints more than {limits.output_kib} KiB")
            if not started and all(child.limited for child in children):
                started, deadline = True, time.monotonic() + limits.seconds
    for child in children:
        child.check_started()
    return Graded(False, "ends before it is judged")
