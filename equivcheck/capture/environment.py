"""Say where a run took place: what could move a low bit of the arithmetic, and nothing private.

Reads files and package metadata only; imports no framework. What only torch knows about a device
is added by capture. Stable within one machine and installation, so a resumed run can be held to it.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from equivcheck.core.extras import NOT_INSTALLED, TORCH, has_torch

PACKAGES = (
    "equivcheck",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "triton",
)
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
)
"""Environment variables known to change numerical results."""
_VECTOR_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve")


class GitState(NamedTuple):
    """The checkout a run was made from."""

    commit: str
    dirty: bool


_sent_from: ContextVar[tuple[GitState | None] | None] = ContextVar("sent_from", default=None)


def fingerprint() -> dict[str, str]:
    """Python, platform, CPU, package versions and the variables that touch arithmetic."""
    facts = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "cores": str(os.cpu_count() or 0),
        **_cpu_facts(Path("/proc/cpuinfo")),
    }
    for package in PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if not has_torch():
        facts[TORCH] = NOT_INSTALLED
    facts |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {name: value for name, value in facts.items() if value}


@contextmanager
def from_checkout(state: GitState | None) -> Iterator[None]:
    """Have `git_state` say this: for work that was sent here from a checkout elsewhere."""
    token = _sent_from.set((state,))
    try:
        yield
    finally:
        _sent_from.reset(token)


def git_state(folder: Path) -> GitState | None:
    """Commit and dirtiness of the checkout around ``folder``; None where git knows of none."""
    if sent := _sent_from.get():
        return sent[0]
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or status is None:
        return None
    return GitState(commit=commit.strip(), dirty=bool(status.strip()))


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _cpu_facts(cpuinfo: Path) -> dict[str, str]:
    """Model and vector instructions, where Linux tells; else what Python knows."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {"cpu": platform.processor()}
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip().lower(), value.strip())
    flags = set(facts.get("flags", facts.get("features", "")).split())
    return {
        "cpu": facts.get("model name", platform.processor()),
        "vectors": " ".join(flag for flag in _VECTOR_FLAGS if flag in flags),
    }
