"""Two servers are gated where torch is not installed, and what needs torch says how to get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.http.stub import FakeVllm, Reply, serving
from tests.unit.source import ROOT

ABSENT = ("torch", "functorch", "torchgen", "accelerate", "gguf", "triton", "nvidia")
TOKENS = 24
CASES = (
    '{"equivcheck": 1, "workload": "w"}\n'
    '{"id": "a", "prompt": "hello world 12", "max_new_tokens": 24}\n'
    '{"id": "b", "prompt": "well then", "max_new_tokens": 24}\n'
)
Run = Callable[..., subprocess.CompletedProcess[str]]


class Plain(FakeVllm):
    """Decodes a token a step, and tells of no drafts."""

    gamma = 0

    def metrics(self) -> str:
        return ""

    def complete(self, body: Any) -> Reply:
        reply = super().complete(body)
        del reply.body["metrics"]
        return reply


class Speculative(FakeVllm):
    """Every other step has all four drafts accepted: 8 steps for 24 tokens."""

    def complete(self, body: Any) -> Reply:
        reply = super().complete(body)
        told = reply.body["metrics"]["speculative_decoding"]
        told |= {"num_spec_steps": 8, "num_draft_tokens": 32, "num_accepted_draft_tokens": 16}
        told["acceptance_histogram"] = [4, 0, 0, 0, 4]
        return reply

    def metrics(self) -> str:
        self.steps, self.drafted, self.accepted = (
            (self.steps, self.steps * 4, self.steps * 2) if self.steps else (0, 0, 0)
        )
        return super().metrics()


class OtherToken(Speculative):
    """One token of each answer is another."""

    def output(self, body: Any) -> list[int]:
        ids = super().output(body)
        return [*ids[:-1], (ids[-1] + 1) % 50]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages of this environment but torch and what is built on it."""
    farm = tmp_path_factory.mktemp("packages")
    for folder in (Path(each) for each in sys.path if each.endswith("site-packages")):
        for package in folder.iterdir():
            name = package.name.partition("-")[0].partition(".")[0]
            place = farm / package.name
            if name not in ABSENT and package.suffix != ".pth" and not place.exists():
                place.symlink_to(package)
    return farm


@pytest.fixture
def run(packages: Path, tmp_path: Path) -> Run:
    (tmp_path / "w.jsonl").write_text(CASES)
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(packages)!r}]; "
        "from equivcheck.cli.main import main; main()"
    )

    def run_verb(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", "-c", code, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_verb


def gated(run: Run, candidate: FakeVllm, *more: str) -> subprocess.CompletedProcess[str]:
    with serving(Plain()) as plain, serving(candidate) as other:
        return run(
            *("run", "w.jsonl", "--out", "here", "--set", "setup.context=512"),
            *("--target", f"{plain.url},dtype=float32"),
            *("--candidate", f"{other.url},dtype=float32"),
            *("--set", f"control={plain.url},batch=1", *more),
        )


def test_two_servers_that_agree_are_equivalent(run: Run) -> None:
    done = gated(run, Speculative())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch not installed" in done.stdout
    assert "PyTorch" not in done.stderr


def test_a_difference_is_no_pass_and_says_what_would_judge_it(run: Run) -> None:
    done = gated(run, OtherToken())
    assert done.returncode == 3, done.stdout + done.stderr
    assert "for a reason not known" in done.stdout
    assert "pip install 'equivcheck[native]'" in " ".join(done.stdout.split())


def test_what_draws_are_scored_by_is_asked_for_before_anything_is_drawn(
    run: Run, tmp_path: Path
) -> None:
    sampled = {"id": "s", "prompt": "well", "sampling": {"temperature": 1}, "max_new_tokens": 24}
    with (tmp_path / "w.jsonl").open("a") as file:
        file.write(json.dumps(sampled) + "\n")
    speculative = Speculative()
    done = gated(run, speculative)
    assert done.returncode == 2
    # A few tokens are asked for to find out what the server is; no case takes so few steps.
    assert speculative.steps < 8
    assert "1 sampled cases are scored by the pair's weights, which needs torch" in done.stderr
    assert "--set law_evidence=tokens" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["run", "w.jsonl"], ["bench", "w.jsonl"]], ids=["run", "bench"]
)
def test_what_needs_torch_ends_with_the_line_that_installs_it(
    run: Run, arguments: list[str]
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("try: pip install 'equivcheck[native]'")
    assert "Traceback" not in done.stderr


def test_suites_that_come_along_are_found_without_a_checkout(run: Run, tmp_path: Path) -> None:
    done = run("suite", "check", "suites")
    assert (done.returncode, "suites/smoke.jsonl: 10 cases" in done.stdout) == (0, True)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "own.jsonl").write_text(CASES)
    assert run("suite", "check", "suites").stdout == "suites/own.jsonl: 2 cases, all readable\n"
    assert run("suite", "check", "suites/smoke.jsonl").returncode == 0
    assert "no such file" in run("suite", "check", "suites/missing.jsonl").stderr
