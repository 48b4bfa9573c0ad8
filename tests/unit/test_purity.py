"""Judging and showing a run needs no model: the pure rooms import nothing heavy, none upwards."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import equivcheck

HEAVY = {"torch", "transformers", "numpy", "scipy", "rich", "safetensors"}
PURE = (
    "acceptance",
    "checks",
    "configuration",
    "environment",
    "pairing",
    "records_file",
    "report.markdown",
    "report.terminal",
    "report.write",
    "suites",
    "verdict",
)


def test_nothing_heavy_is_imported() -> None:
    imports = "; ".join(f"import equivcheck.{name}" for name in PURE)
    code = f"import sys; {imports}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checks_know_nothing_of_reports_engines_or_the_clock() -> None:
    forbidden = (
        "equivcheck.report",
        "equivcheck.capture.capture",
        "time",
        "datetime",
        "random",
        "os",
    )
    files = list((Path(equivcheck.__file__).parent / "checks").glob("*.py"))
    assert len(files) > 9
    for file in files:
        names = {
            name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not [name for name in names if name.startswith(forbidden)], file.name
