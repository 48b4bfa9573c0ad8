"""Measure after how many cases the check ``replicas`` names the bad one of two llama.cpp servers.

    python -m benchmarks.replicas --python PYTHON_WITH_XLLAMACPP --out reports/engines/replicas.json

Two servers of the bundled pair draft by n-grams behind one candidate; a third decodes plainly. The
second replica's file of weights is damaged as bad memory would: bits of single float32 weights, or
a row of a matrix, are changed. In the control it is whole.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from equivcheck.checks import replicas
from equivcheck.records.records_file import read_evidence

SERVE = Path(__file__).parent.parent / "tests/engines/serve_llamacpp.py"
DAMAGES = ("none", "one-weight-doubled", "one-weight-huge", "row-zeroed", "row-swapped")
TENSOR = "blk.0.ffn_down.weight"
READY_SECONDS = 60.0


def main() -> None:
    """Run each damage and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, help="interpreter that has xllamacpp")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9470, help="the first of three")
    parser.add_argument("--suite", default="suites/chat.jsonl")
    told = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        equivcheck("pairs", "tiny", "--gguf", str(whole))
        for damage in DAMAGES:
            broken = Path(folder) / damage / "target.gguf"
            broken.parent.mkdir()
            shutil.copy(whole / "target.gguf", broken)
            damaged(broken, damage)
            for dtype in (",dtype=float32", ""):
                rows.append(row(told, whole / "target.gguf", broken, damage=damage, dtype=dtype))
                print(json.dumps(rows[-1]))
    told.out.write_text(json.dumps(rows, indent=2) + "\n")


def damaged(path: Path, damage: str) -> None:
    """Change weights in place."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(path, "r+")
    (weights,) = (each.data for each in reader.tensors if each.name == TENSOR)
    place = np.unravel_index(np.argmax(np.abs(weights)), weights.shape)
    if damage == "one-weight-doubled":
        weights[place] *= 2
    elif damage == "one-weight-huge":
        weights[place] *= 2.0**8
    elif damage == "row-zeroed":
        weights[place[0]] = 0
    elif damage == "row-swapped":
        weights[[0, 1]] = weights[[1, 0]]
    reader.data.flush()


def row(
    told: argparse.Namespace, whole: Path, broken: Path, *, damage: str, dtype: str
) -> dict[str, Any]:
    """One run, and what the check says of it."""
    urls = [f"http://127.0.0.1:{told.port + number}" for number in range(3)]
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        for url, model, drafts in zip(
            urls, (whole, whole, broken), ((), ("ngram",), ("ngram",)), strict=True
        ):
            stack.enter_context(server(told.python, url, model, drafts))
        words = ["run", told.suite, "--out", f"{folder}/run", "--threads", "1"]
        words += ["--target", urls[0] + dtype, "--candidate", f"{urls[1]}+{urls[2]},gamma=4{dtype}"]
        words += ["--set", "sampled=none", "--set", "probe_every=1", "--set", "control=none"]
        equivcheck(*words)
        evidence = read_evidence(Path(folder) / "run")
        findings = replicas.check(evidence)
        return {
            "damage": damage,
            "dtype_told": bool(dtype),
            "cases": len(evidence.header.planned.get("replica-1", ())),
            "findings": [
                {
                    "outcome": each.outcome.value,
                    "reason": each.reason.value,
                    "headline": each.headline,
                    "known": each.details[1:],
                }
                for each in findings
            ],
            "llama.cpp": evidence.header.arms["replica-1"].versions.get("llama.cpp"),
        }


@contextmanager
def server(python: str, url: str, model: Path, drafts: tuple[str, ...]) -> Iterator[None]:
    """A llama.cpp server for the length of a block, once it answers."""
    port = url.rpartition(":")[2]
    process = subprocess.Popen(
        [python, str(SERVE), str(model), port, *drafts],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + READY_SECONDS
        while not answers(url):
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit(f"{url}: no server came up")
            time.sleep(0.25)
        yield
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Whether a server is ready."""
    try:
        return bool(urllib.request.urlopen(f"{url}/health", timeout=5).status == 200)
    except OSError:
        return False


def equivcheck(*words: str) -> None:
    """The command line; a verdict other than a pass is no error here."""
    done = subprocess.run([sys.executable, "-m", "equivcheck", *words], capture_output=True)
    if done.returncode == 2:
        raise SystemExit(done.stderr.decode())


if __name__ == "__main__":
    main()
