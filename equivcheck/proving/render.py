"""The matrix as Markdown, between markers in files that are otherwise written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from equivcheck.checks import CHECKS
from equivcheck.errors import EquivcheckError
from equivcheck.faults.fault import FAMILIES
from equivcheck.findings import Outcome
from equivcheck.proving.result import Result
from equivcheck.proving.tally import sentence, tally

SPOKE = {Outcome.FAIL: "✗", Outcome.INCONCLUSIVE: "?", Outcome.PASS: ""}
SHOWN = (
    "skip-first-check",
    "no-trim",
    "state-not-restored",
    "late-rejection",
    "stream-by-row",
    "eos-mid-block",
    "penalty-once-per-step",
    "logprob-zero",
    "drafts-overcounted",
    "never-drafts",
)
"""Faults whose messages are shown in full: one of each way to be caught."""


def render(path: Path, results: Sequence[Result]) -> list[str]:
    """Fill every known marker of a file; the names of those that were there.

    Raises:
        EquivcheckError: the file cannot be read, or has none of the markers.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EquivcheckError(f"{path}: cannot be read: {error.strerror}") from error
    filled = []
    for name, write in SECTIONS.items():
        pattern = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        if found := pattern.search(text):
            body = "".join(f"{line}\n" for line in write(results))
            text = text[: found.start()] + body + text[found.end() :]
            filled.append(name)
    if not filled:
        markers = ", ".join(f"<!-- {name} -->" for name in SECTIONS)
        raise EquivcheckError(f"{path}: has none of the markers {markers}")
    path.write_text(text, encoding="utf-8")
    return filled


def faults_of(results: Sequence[Result]) -> list[Result]:
    """Without the controls."""
    return [result for result in results if result.breaks != "nothing"]


def summary(results: Sequence[Result]) -> Iterator[str]:
    """One sentence, with where and when."""
    yield f"{sentence(tally(results))} ({occasion(results)})."


def occasion(results: Sequence[Result]) -> str:
    """From when to when, and at which commits."""
    if not results:
        return "never run"
    ordered = sorted(results, key=lambda result: result.created)
    first, last = ordered[0], ordered[-1]
    days = " to ".join(dict.fromkeys((first.created[:10], last.created[:10])))
    commits = dict.fromkeys((first.commit, last.commit))
    return f"{days}, {'commit' if len(commits) == 1 else 'commits'} {' to '.join(commits)}"


def matrix(results: Sequence[Result]) -> Iterator[str]:
    """A row a fault, a column a check."""
    checks = [
        name
        for name, _ in CHECKS
        if any(result.checks.get(name, Outcome.PASS) is not Outcome.PASS for result in results)
    ]
    yield from summary(results)
    yield ""
    yield table_row(["class", "fault", *checks, "drafts", "the tool says", "after"])
    yield table_row(["---", "---", *(":-:" for _ in (*checks, "drafts")), "---", "---:"])
    for result in faults_of(results):
        yield table_row(
            [
                result.family,
                f"`{result.id}`" + (" (lossy by design)" if result.label else ""),
                *(cell(result, check) for check in checks),
                drafts_cell(result),
                result.said.value if result.caught else f"**missed**: {result.said.value}",
                after(result),
            ]
        )


def cell(result: Result, check: str) -> str:
    """What one check has said; in brackets where it is the one that had to speak."""
    mark = SPOKE[result.checks.get(check, Outcome.PASS)]
    return f"[{mark or '&nbsp;'}]" if check == result.caught_by else mark


def drafts_cell(result: Result) -> str:
    """The acceptance rate, before and after, where that is what is compared."""
    return ", ".join(f"{one.sound:.2f} → {one.rate:.2f}" for one in result.degradations)


def after(result: Result) -> str:
    """How much it took to see it."""
    if result.tokens is None:
        return ""
    tokens = f"{result.tokens:,}"
    return tokens if result.requests is None else f"{result.requests} / {tokens}"


def catalogue(results: Sequence[Result]) -> Iterator[str]:
    """What each fault does wrong and which public bug it re-creates, by class."""
    for family, members in groupby(faults_of(results), key=lambda result: result.family):
        yield f"### {family}: {FAMILIES[family]}"
        yield ""
        yield table_row(["fault", "what is wrong", "re-creates", "breaks", "caught by"])
        yield table_row(["---"] * 5)
        for result in members:
            breaks = f"{result.breaks} ({result.label})" if result.label else result.breaks
            yield table_row(
                [f"`{result.id}`", result.summary, result.recreates, breaks, result.caught_by]
            )
        yield ""


def controls(results: Sequence[Result]) -> Iterator[str]:
    """Sound decoders: how often each was run, and what was said of it."""
    sound = sorted((one for one in results if one.breaks == "nothing"), key=lambda one: one.id)
    yield f"{tally(results).accused} control runs accused ({occasion(sound)})."
    yield ""
    yield table_row(["control", "what it is", "candidate", "runs", "accused", "the tool says"])
    yield table_row(["---", "---", "---", "---:", "---:", "---"])
    for name, found in groupby(sound, key=lambda one: one.id):
        runs = list(found)
        said = [run.said.value for run in runs]
        yield table_row(
            [
                f"`{name}`",
                runs[0].summary,
                f"`{runs[0].candidate.removesuffix(f',fault={name}')}`",
                str(len(runs)),
                str(sum(run.accused for run in runs)),
                ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said)),
            ]
        )


def messages(results: Sequence[Result]) -> Iterator[str]:
    """First failures as users see them."""
    by_id = {result.id: result for result in faults_of(results)}
    for name in SHOWN:
        if name in by_id and by_id[name].message:
            yield f"`{name}`: {by_id[name].summary}."
            yield ""
            yield from ("```text", *by_id[name].message, "```", "")


def table_row(cells: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(text.replace('|', '&#124;') for text in cells)} |"


SECTIONS: dict[str, Callable[[Sequence[Result]], Iterator[str]]] = {
    "faults-summary": summary,
    "faults-matrix": matrix,
    "faults-catalogue": catalogue,
    "faults-controls": controls,
    "faults-messages": messages,
}
"""Marker to what is written between ``<!-- marker -->`` and ``<!-- /marker -->``."""
