"""Runs a server's command as long as a pipe is held open, then ends it and all that it started.

Run as a file by any interpreter, in a session of its own; it imports nothing of this package. The
pipe closes however its holder ends, so that no server is left behind by a run that was killed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

TICK = 0.1
"""Seconds between two looks."""


def main(lifeline: int, grace: float, command: list[str]) -> int:
    """Run a command until it ends or the pipe closes.

    Args:
        lifeline: File descriptor of the pipe's reading end.
        grace: Seconds between asking all to end and killing what is left.
        command: Program and arguments.

    Returns:
        The command's exit code, where it ended by itself; negative: minus the signal.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    # The group gets the signal; this process is in it and goes on.
    signal.signal(signal.SIGTERM, lambda *_: None)
    while process.poll() is None:
        if select.select([lifeline], [], [], TICK)[0]:
            return _end(process, grace)
    os.killpg(0, signal.SIGTERM)
    return process.returncode


def _end(process: subprocess.Popen[bytes], grace: float) -> int:
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + grace
    while process.poll() is None and time.monotonic() < until:
        time.sleep(TICK)
    if process.poll() is None:
        os.killpg(0, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    code = main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    if code < 0:
        sys.stdout.write(f"ended by signal {-code}\n")
    sys.exit(code if code >= 0 else 128 - code)
