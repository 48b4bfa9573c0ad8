from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from equivcheck.capture.environment import _cpu_facts, fingerprint, git_state


def test_the_fingerprint_is_stable_and_names_what_moves_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    facts = fingerprint()
    assert facts == fingerprint()
    assert facts["python"] == platform.python_version()
    assert facts["OMP_NUM_THREADS"] == "7"
    assert "MKL_CBWR" not in facts
    assert "msgspec" not in facts
    assert facts["equivcheck"]
    assert all(facts.values())


def test_taking_it_imports_no_framework() -> None:
    code = (
        "import sys; from equivcheck.capture.environment import fingerprint; fingerprint();"
        "print(sorted({'torch', 'numpy', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cpu_facts_on_x86_on_arm_and_elsewhere(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Xeon\nflags\t: fpu avx2 avx512f amx_bf16\nmodel name\t: B\n")
    assert _cpu_facts(cpuinfo) == {"cpu": "Xeon", "vectors": "avx2 avx512f amx_bf16"}
    cpuinfo.write_text("Features\t: fp asimd\n")
    assert _cpu_facts(cpuinfo)["vectors"] == "asimd"
    assert _cpu_facts(tmp_path / "none") == {"cpu": platform.processor()}


def test_git_state_of_a_clean_and_a_dirty_checkout(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    state = git_state(tmp_path)
    assert state is not None
    assert state == (git("rev-parse", "HEAD").strip(), False)
    (tmp_path / "untracked").write_text("")
    assert git_state(tmp_path) == state
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == (state.commit, True)


def test_no_git_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None
