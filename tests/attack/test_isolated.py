"""Engines in processes of their own that hang, die and send garbage, in a run from end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path

from equivcheck.records.records_file import read_evidence
from tests.attack.make import ROOT, Done, equivcheck
from tests.unit.engines.isolation.unruly import install

WAYS = {
    "hang": "said nothing for 3 s while it answered",
    "exit": "left with exit code 0 while it answered",
    "kill": "was ended by signal 9 (SIGKILL) while it answered",
    "garbage": "sent what is no message",
    "huge": "a message of 4294967295 bytes, at most 1073741824",
}
HARMLESS = ("binary", "thread", "process", "folder", "alone")
ORDER = (*HARMLESS[:2], "hang", "exit", *HARMLESS[2:4], "kill", "garbage", "huge", HARMLESS[4])
SETTINGS = """
target = "isolated:unruly:when=close"
candidate = "mine"
control = "none"
probe_every = 99
rescore_every = 99
[engine.mine]
engine = "unruly"
isolated = true
answer_seconds = 3
token_seconds = 0
"""


def attacked(folder: Path) -> Done:
    install(folder)
    (folder / "equivcheck.toml").write_text(SETTINGS)
    cases = [{"id": name, "prompt": "def f(", "max_new_tokens": 4} for name in ORDER]
    suite = folder / "code.jsonl"
    lines = [{"equivcheck": 1, "workload": "code"}, *cases]
    suite.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    paths = os.pathsep.join([str(ROOT), str(folder)])
    return equivcheck("run", str(suite), cwd=folder, env=os.environ | {"PYTHONPATH": paths})


def test_each_is_one_failure_and_the_run_goes_on_to_its_verdict(tmp_path: Path) -> None:
    done = attacked(tmp_path)
    evidence = read_evidence(tmp_path / "reports" / "latest")
    failed = {each.key: each.message for each in evidence.failures if each.arm == "candidate"}
    assert failed.keys() == {f"code/{way}" for way in WAYS}
    for way, told in WAYS.items():
        assert told in failed[f"code/{way}"]
        assert "candidate (unruly): its process" in failed[f"code/{way}"]
    assert evidence.captured["candidate"].keys() == {f"code/{name}" for name in HARMLESS}
    assert len(evidence.captured["target"]) == len(WAYS) + len(HARMLESS)
    assert evidence.sealed is not None
    assert done.code in (1, 3), done.err
    assert "Traceback" not in done.err
    assert (tmp_path / "reports" / "latest" / "logs" / "candidate.log").stat().st_size > 100_000
