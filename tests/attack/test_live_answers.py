"""Live answers that no decoder can mean: one failure each, in a run that goes on to its verdict."""

from __future__ import annotations

import json
import os
from pathlib import Path

from equivcheck.records.records_file import read_evidence
from tests.attack.attacker import WAYS
from tests.attack.make import ROOT, Done, equivcheck

TOLD = {
    "drafted": "steps[0].drafted is 100000000, outside 0 to 1024",
    "emitted": "steps[0].emitted is 100000000, outside 0 to 2",
    "negative": "steps[0].accepted is -2, outside -1 to 2",
    "tokens": "token_ids has 10000000 entries, more than the 8 tokens asked for",
    "prompt": "prompt_tokens is 1000000000, but the prompt has ",
    "nan": "total_seconds is nan, not a finite number",
    "digits": "token_ids[0] is a number of 16610 bits, outside ",
}


def attacked(folder: Path, *, on: str) -> Done:
    """Run a case for each way, and one that is left alone, with the attacker for a candidate."""
    installed = folder / "attacker-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: attacker\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[equivcheck.engines]\nattacker = tests.attack.attacker:open_engine\n"
    )
    (folder / "equivcheck.toml").write_text(
        f'target = "attacker"\ncandidate = "attacker:on={on}"\ncontrol = "none"\n'
        "probe_every = 99\nrescore_every = 99\n"
    )
    cases = [{"id": name, "prompt": "def f(", "max_new_tokens": 8} for name in (*WAYS, "alone")]
    suite = folder / "code.jsonl"
    lines = [{"equivcheck": 1, "workload": "code"}, *cases]
    suite.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    paths = os.pathsep.join([str(ROOT), str(folder)])
    return equivcheck("run", str(suite), cwd=folder, env=os.environ | {"PYTHONPATH": paths})


def test_answers_that_mean_nothing_are_a_failure_each_and_no_pass(tmp_path: Path) -> None:
    assert TOLD.keys() == WAYS.keys()
    done = attacked(tmp_path, on="true")
    evidence = read_evidence(tmp_path / "reports" / "latest")
    of_candidate = {each.key: each.message for each in evidence.failures if each.arm == "candidate"}
    assert of_candidate.keys() == {f"code/{way}" for way in WAYS}
    for way, told in TOLD.items():
        assert told in of_candidate[f"code/{way}"]
    assert list(evidence.captured["candidate"]) == ["code/alone"]
    assert len(evidence.captured["target"]) == len(WAYS) + 1
    assert evidence.sealed is not None
    assert done.code in (1, 3), done.err
    assert "Traceback" not in done.err


def test_the_same_engine_without_the_attack_answers_all(tmp_path: Path) -> None:
    attacked(tmp_path, on="false")
    evidence = read_evidence(tmp_path / "reports" / "latest")
    assert not evidence.failures
    answers = evidence.captured["candidate"].values()
    assert {len(each.generation.token_ids) for each in answers} == {8}
    assert len(answers) == len(WAYS) + 1
