"""The page of `benchmarks.gpu`: answers first, then how each stage ended and what it said last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gpu_answers import Row
from benchmarks.gpu_summary import LIBRARIES, Library, answers, measured, over
from benchmarks.stage_records import Ended, code_of, log_of
from equivcheck.cli.figure_words import times
from equivcheck.core.escape import visible
from equivcheck.metrics.records import STOCK, TARGET
from equivcheck.metrics.summary import BenchSummary

KEPT_LINES = 40
"""Of a stage's output, at the end."""


def readme(folder: Path, names: Sequence[str], done: Mapping[str, Ended]) -> str:
    """Questions and answers, then how every stage ended, as Markdown."""
    lines = [f"# Measured on {folder.name}", "", "Written by `python -m benchmarks.gpu`.", ""]
    if other := [name for name in names if name in done and is_others(done[name])]:
        lines += [f"Measured by other code than what wrote this page: {', '.join(other)}.", ""]
    lines += table("question", "answer", list(answers(folder)))
    speed, close = measured(folder, "speed"), measured(folder, "close")
    if speed is not None:
        lines += ["", "## Speedups", "", "Geometric means over prompts with 95 % intervals.", ""]
        lines += by_workload(speed, {each: measured(folder, each.stage) for each in LIBRARIES})
    if close is not None:
        lines += ["", "## Speedups with a draft close to the target", ""]
        lines += [f"The target's weights rounded, by `{close.candidate}`.", ""]
        lines += by_workload(close, {})
    lines += ["", "## Stages", ""]
    lines += table("stage", "ended", [Row(name, how_ended(done.get(name))) for name in names])
    for name in names:
        if name in done:
            lines += ["", f"### {name}", "", f"`{done[name].command}`", "", *log(folder, name)]
    return "\n".join(lines) + "\n"


def by_workload(speed: BenchSummary, libraries: Mapping[Library, BenchSummary | None]) -> list[str]:
    """A line a workload, a column a baseline."""
    columns = ("padded plain", "one-token plain", *(each.words for each in libraries))
    lines = ["| workload | acceptance | " + " | ".join(f"over {name}" for name in columns) + " |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for workload, found in speed.main.items():
        cells = [over(found, TARGET), over(found, STOCK)]
        cells += [
            over(summary.main.get(workload) if summary else None, each.arm)
            for each, summary in libraries.items()
        ]
        rate = times(found.speculation.draft_acceptance_rate, unit="")
        lines.append("| " + " | ".join((visible(workload), rate, *cells)) + " |")
    return lines


def table(first: str, second: str, rows: Sequence[Row]) -> list[str]:
    """Two columns of Markdown."""
    cells = [(visible(one).replace("|", "/"), visible(two).replace("|", "/")) for one, two in rows]
    return [f"| {first} | {second} |", "|---|---|", *(f"| {one} | {two} |" for one, two in cells)]


def is_others(record: Ended) -> bool:
    """Whether other code than what is here has made a record."""
    return record.code != code_of(record.command.partition(" ")[0])


def how_ended(record: Ended | None) -> str:
    """A stage's end in words."""
    return "not run" if record is None else record.words


def log(folder: Path, name: str) -> list[str]:
    """The last lines of what a stage said."""
    tail = [line.replace("`", "'") for line in log_of(folder, name)[-KEPT_LINES:]]
    return ["```text", *tail, "```"]
