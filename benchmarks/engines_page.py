"""The page of ``python -m benchmarks.engines``: rows, what each check said, and what has no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
"""What a row found, as it is kept beside its report."""

PREFACE = """Written by `python -m benchmarks.engines`. Each row has its report (`ROW.txt`) and its
figures (`ROW.json`) here. The suites of `-alone` rows hold greedy requests only; in the
others greedy and sampled requests share a batch. `mended` is vLLM with one function
replaced. What failures come from is in [docs/bugs-found.md](../../docs/bugs-found.md).
The weights behind `eagle`, `eagle3`, `medusa` and `mtp` are untrained
(`tests/engines/untrained_heads.py`), so that few of their drafts are accepted or none: a row says
that the method runs and what it does to the output of a handful of greedy prompts.
One thread, beside other work: minutes are no measurement."""


CHECKS = """`pass`, **fail**, `?` for inconclusive; an empty cell is a check that had nothing to
judge."""
MARKS = {"pass": "pass", "fail": "**fail**", "inconclusive": "?", None: ""}
NOT_HERE = """What has no row, and why:

- *vLLM with drafts, its distribution over a whole budget, as it is shipped*: it is refuted at the
  first look, which ends the drawing.
- *SmolLM2 with a draft model*: its 135M is the smallest of its family.
- *OpenVINO's sampled output*: with lookup a pass would take about 160,000 tokens, and nothing says
  that it drafted; with a draft model most sampled requests break.
- *SGLang and TensorRT-LLM*: neither was run here. Their dialects are tested with stubs."""


def page(found: Sequence[Figures]) -> Iterator[str]:
    """The rows that were run."""
    yield "# The gate on engines that people ship"
    yield ""
    yield PREFACE
    yield ""
    yield "| row | verdict | identical | near ties | acceptance | sampled tokens | min |"
    yield "|---|---|---:|---:|---:|---|---:|"
    yield from map(cells, found)
    yield from by_check([each for each in found if "gates" in each])
    yield ""
    yield "## Commands and first lines"
    for each in found:
        yield from command(each)


def cells(found: Figures) -> str:
    """One row of the table."""
    if "refused" in found:
        return f"| {found['name']} | refused | | | | | {found['minutes']} |"
    verdict = {0: "EQUIVALENT", 1: "NOT EQUIVALENT", 3: "INCONCLUSIVE"}.get(found["exit"], "error")
    workloads = found["workloads"]
    identical = sum(each["identical"] for each in workloads)
    compared = sum(each["cases"] for each in workloads)
    return (
        f"| {found['name']} | {verdict} | {identical}/{compared} | {len(found['near_ties'])} "
        f"| {acceptance(found)} | {drawn(found)} | {found['minutes']} |"
    )


def acceptance(found: Figures) -> str:
    """Least and most share of drafts that was accepted, over workloads."""
    told = [each["acceptance"] for each in found["workloads"] if each["acceptance"] is not None]
    return f"{min(told):.2f} to {max(told):.2f}" if told else "not told"


def drawn(found: Figures) -> str:
    """How many tokens were drawn, and what came of them."""
    distribution = found["law"]
    if distribution is None:
        return "none"
    return f"{distribution['tokens']:,}, {'refuted' if distribution['refuted'] else 'held'}"


def by_check(judged: Sequence[Figures]) -> Iterator[str]:
    """What each check said of each engine."""
    checks = list(dict.fromkeys(gate["check"] for each in judged for gate in each["gates"]))
    yield ""
    yield "## Engine by check"
    yield ""
    yield CHECKS
    yield ""
    yield f"| row | {' | '.join(checks)} |"
    yield f"|---|{'---|' * len(checks)}"
    for each in judged:
        told = {gate["check"]: gate["outcome"] for gate in each["gates"]}
        yield f"| {each['name']} | {' | '.join(MARKS[told.get(name)] for name in checks)} |"
    yield ""
    yield NOT_HERE


def command(found: Figures) -> Iterator[str]:
    """How a row was run, and the first line of its report."""
    versions = ", ".join(f"{name} {told}" for name, told in found.get("versions", {}).items())
    yield ""
    yield f"**{found['name']}**" + (f" ({versions})" if versions else "")
    yield from ("", "```sh", found["command"], "```", "")
    yield f"Refused: {found['refused']}" if "refused" in found else found["headline"]
