"""A project with a suite and the toy engine, to run pytest and the command line in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch

from equivcheck.pairs.load import load_pair
from equivcheck.plugin import items, making, summary  # noqa: F401

ROOT = Path(__file__).parents[2]
SETTINGS = 'target = "toy"\ncandidate = "toy:gamma=2"\ncontrol = "toy"\n'


def _without_figures(found: re.Match[str]) -> str:
    line = found[1].partition(" nats")[0] if "apart" in found[1] else found[1]
    return re.sub(r"-?\d+(\.\d+)?(e[+-]\d+)?", "<n>", line.replace("float32", "fp"))


_REPLACED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"in \d+\.\d+s", "in 0.00s"),
    (r"\d{4}-\d\d-\d\dT[\d:+]+", "<time>"),
    (r"^platform .*$", "platform <platform>"),
    (r"^plugins: .*$", "plugins: <plugins>"),
    (r"^python \d.*$", "<environment>"),
    (r"^cachedir: .*\n", ""),
    (r" · [0-9a-f]{7}\*? · ", " · "),
    # What the bundled pair has to say of the toy's tokens changes when it is trained anew.
    (r"^( +).*⟦(?:.*)⟧", r"\1<context>⟦<piece>⟧"),
    (r"^( +(?:transformers|apart by|\w+'s whole output).*)", _without_figures),
)


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Load once what pytester would otherwise forget, and import again, after every run."""
    load_pair("tiny", dtype=torch.float32, device="cpu")


@pytest.fixture(autouse=True)
def _runs_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions in this process make their runs in it: a fresh process would load torch anew.

    `test_leaving.py` has the real way.
    """
    monkeypatch.setattr(making, "make_run_apart", making.make_run)


class Project:
    """A folder with suites, settings and an installed toy engine."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        installed = self.path / "toy-1.0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        (installed / "entry_points.txt").write_text(
            "[equivcheck.engines]\ntoy = tests.plugin.toy:open_engine\n"
        )
        pytester.syspathinsert()
        self.settings(SETTINGS)
        self.suite("code", ["one", "two", "three"])

    def settings(self, text: str) -> None:
        (self.path / "equivcheck.toml").write_text(text)

    def suite(self, workload: str, ids: Iterable[str]) -> Path:
        lines: list[dict[str, object]] = [{"equivcheck": 1, "workload": workload}]
        lines += [{"id": name, "prompt": "def f(", "max_new_tokens": 12} for name in ids]
        return self.write(
            f"suites/{workload}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines)
        )

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def pytest(self, *arguments: str) -> pytest.RunResult:
        # Inside a process that has our plugin loaded, pytest cannot rewrite it once more.
        quiet = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
        return self.pytester.runpytest_inprocess(*quiet, *arguments)

    def equivcheck(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own."""
        return self._process("-m", "equivcheck", *arguments)

    def alone(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in a process of its own."""
        return self._process("-m", "pytest", *arguments)

    def distributed(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest with two workers."""
        return self.alone("-n2", *arguments)

    def _process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join([str(ROOT), str(self.path)])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )

    def shown(self, text: str) -> str:
        """A terminal's text without what differs between runs and machines."""
        text = text.replace(str(self.path), "<project>")
        for pattern, replacement in _REPLACED:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        return text


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    # Annotations, colours and truncation of the outer session are not what is under test.
    for name in ("CI", "BUILD_NUMBER", "COLUMNS", "PYTEST_ADDOPTS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Project(pytester)
