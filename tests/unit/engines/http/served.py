"""``python -m tests.unit.engines.http.served PORT``: the stub of vLLM as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from .stub import FakeVllm, Stub


def main(port: int, *, child: bool) -> None:
    """Serve until a signal comes."""
    if child:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stub = Stub(FakeVllm(), port=port)
    sys.stdout.write(f"pid {os.getpid()} serves at {stub.url}\n")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    sys.stdout.write("good night\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), child="child" in sys.argv)
