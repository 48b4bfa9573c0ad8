"""``python -m benchmarks.audit``: published decoders behind the adapters of ``examples/``.

Each row of ``reports/audit/rows.toml`` is one ``equivcheck run`` in an environment of its own,
where the package is installed without what it depends on, and without a network where that can be
had. What a row found is kept beside it, and rows that are there already are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, convert

from benchmarks.engines_page import acceptance, drawn

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "reports" / "audit"
ENVIRONMENTS = ROOT / ".venv-engines" / "audit"
VERDICTS = {0: "EQUIVALENT", 1: "NOT EQUIVALENT", 3: "INCONCLUSIVE"}
DRAWS = "--profile quick --set sampled_tokens=20000"
PLAIN = "transformers:mode=plain,scores=false"
COMMON = "--set control=none --threads 1"

PREFACE = """Written by `python -m benchmarks.audit` from `rows.toml`. Each row is a run on the
bundled pair in float32, by the adapter in [examples/](../../examples/README.md), against plain
decoding of transformers unless its command says otherwise; `ROW.txt` is its report and `ROW.json`
its figures. Rows marked *control* are the same adapter around a verify step that is known to be
right. Where a row fails, the line that does it is named below, and the script beside it repeats it
without equivcheck. Minutes were taken on one thread, beside other work: they are no measurement."""


class Row(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run."""

    name: str
    packages: tuple[str, ...]
    """As pip takes them, the one under audit first; empty: it is here already."""
    candidate: str
    claim: str = ""
    """What its README says of its output, in its own words where they are in quotation marks."""
    line: str = ""
    """What does it, where it fails; or what cannot be said."""
    script: str = ""
    """File that confirms it."""
    suites: str = "code sampling"
    arguments: str = DRAWS
    target: str = PLAIN
    control: bool = False
    put_off_annotations: bool = False
    """Put `from __future__ import annotations` before each of its files: it wants Python 3.14."""

    @property
    def command(self) -> list[str]:
        """As typed in the source's folder."""
        suites = [f"suites/{suite}.jsonl" for suite in self.suites.split()]
        arms = ["--target", self.target, "--candidate", self.candidate]
        return ["run", *suites, *arms, *shlex.split(f"{self.arguments} {COMMON}")]


def main() -> int:
    """Run what is asked for and has not been, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="Part of a row's name.")
    parser.add_argument("--table", action="store_true", help="Only write the table.")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    given = parser.parse_args()
    rows = read_rows()
    for row in rows:
        wanted = not given.only or any(part in row.name for part in given.only)
        if wanted and not given.table and not (FOLDER / f"{row.name}.json").exists():
            print(f"== {row.name}: equivcheck {shlex.join(row.command)}", flush=True)
            run(row, environment(row, given.environments))
            write_table(rows)
    write_table(rows)
    return 0


def read_rows() -> list[Row]:
    """The rows of ``rows.toml``."""
    told = tomllib.loads((FOLDER / "rows.toml").read_text())
    return convert(told["row"], list[Row])


def environment(row: Row, folder: Path) -> Path:
    """The interpreter of a row's environment, which is made where it is not there yet."""
    here = folder / (row.packages[0].partition("==")[0] if row.packages else "none")
    python = here / "bin" / "python"
    if python.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(here)], check=True)
    (site,) = here.glob("lib/python*/site-packages")
    shared = [str(ROOT), sysconfig.get_path("purelib")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, "--no-build-isolation", str(ROOT / "examples")], check=True)
    if row.packages:
        subprocess.run([*pip, "--ignore-requires-python", *row.packages], check=True)
    if row.put_off_annotations:
        put_off_annotations(site / row.packages[0].partition("==")[0].replace("-", "_"))
    (site / "shared.pth").write_text("\n".join(shared) + "\n")
    return python


def put_off_annotations(package: Path) -> None:
    """Let a package for Python 3.14 run on an older one."""
    for path in package.rglob("*.py"):
        source = path.read_text()
        if "override" in source:
            source = f"from typing_extensions import override\n{source}".replace(
                "from typing import override", "from typing import Any"
            ).replace(", override", "")
        path.write_text(f"from __future__ import annotations\n{source}")


def run(row: Row, python: Path) -> None:
    """Run one row, and keep its report and the figures of the table."""
    out = Path("reports") / "runs" / "audit" / row.name
    alone = ["unshare", "-n"] if shutil.which("unshare") and os.geteuid() == 0 else []
    command = [*alone, str(python), "-W", "ignore", "-m", "equivcheck"]
    quiet = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    done = subprocess.run(
        [*command, *row.command, "--out", str(out), "--fresh"], cwd=ROOT, check=False, env=quiet
    )
    keep(row, [*command, "report", str(out)], code=done.returncode, began=started, out=ROOT / out)


def keep(row: Row, report: list[str], *, code: int, began: float, out: Path) -> None:
    """Write a row's files from a finished run."""
    told = subprocess.run([*report, "--json"], capture_output=True, check=False, cwd=ROOT)
    if not told.stdout:
        print(f"== {row.name}: no report (exit {code})", file=sys.stderr)
        return
    view = json.loads(told.stdout)
    figures = {
        "name": row.name,
        "command": f"equivcheck {shlex.join(row.command)}",
        "exit": code,
        "minutes": round((time.monotonic() - began) / 60, 1),
    } | {field: view[field] for field in ("headline", "workloads", "law", "gates", "environment")}
    (FOLDER / f"{row.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (FOLDER / f"{row.name}.txt").write_text((out / "report.txt").read_text())


def write_table(rows: list[Row]) -> None:
    """Write the page."""
    (FOLDER / "README.md").write_text("\n".join(table(rows)) + "\n")


def table(rows: list[Row]) -> Iterator[str]:
    """The page, line by line."""
    yield from ("# Audit of published decoders", "", PREFACE, "")
    yield "| row | package | verdict | identical | acceptance | sampled tokens | min |"
    yield "|---|---|---|---:|---:|---|---:|"
    found = {row.name: figures_of(row) for row in rows}
    yield from (cells(row, found[row.name]) for row in rows)
    yield from ("", "## What they say, and what was found")
    for row in rows:
        figures = found[row.name]
        yield from ("", f"**{row.name}** `equivcheck {shlex.join(row.command)}`")
        yield from (("", f"*It says:* {row.claim}") if row.claim else ())
        yield from (("", f"*Found:* {figures['headline']}") if figures else ())
        script = f" Repeated by [{row.script}]({row.script})." if row.script else ""
        yield from (("", f"*Line:* {row.line}{script}") if row.line else ())
    notes = FOLDER / "not-run.md"
    yield from ("", notes.read_text().rstrip()) if notes.exists() else ()


def figures_of(row: Row) -> dict[str, Any] | None:
    """What a row found; None: it was not run."""
    path = FOLDER / f"{row.name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def cells(row: Row, found: Mapping[str, Any] | None) -> str:
    """One row of the table."""
    package = row.packages[0].replace("==", " ") if row.packages else "transformers 5.17.0"
    name = f"{row.name} *control*" if row.control else row.name
    if found is None:
        return f"| {name} | {package} | not run yet | | | | |"
    workloads = found["workloads"]
    compared = sum(each["cases"] for each in workloads)
    identical = f"{sum(each['identical'] for each in workloads)}/{compared}" if compared else "none"
    verdict = VERDICTS.get(found["exit"], "error")
    return (
        f"| {name} | {package} | {verdict} | {identical} | {acceptance(found)} | {drawn(found)} "
        f"| {found['minutes']} |"
    )


if __name__ == "__main__":
    sys.exit(main())
