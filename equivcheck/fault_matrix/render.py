"""The matrix as Markdown, between markers in files that are otherwise written by hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from equivcheck.checks import CHECKS
from equivcheck.checks.schedules import CHECK as SCHEDULES
from equivcheck.core.atomic_write import replace
from equivcheck.core.errors import EquivcheckError
from equivcheck.core.findings import Outcome
from equivcheck.fault_matrix.result import Result
from equivcheck.fault_matrix.seeds import Runs, controls_of, faults_of
from equivcheck.fault_matrix.tally import accusations, sentence, tally
from equivcheck.faults.fault import FAMILIES

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
    "row-reused-in-flight",
)
"""Faults whose messages are shown in full: one of each way to be caught."""


def render(path: Path, results: Sequence[Result]) -> list[str]:
    """Fill every known marker of a file; the names of those that were there.

    Raises:
        EquivcheckError: the file cannot be read or written, or has none of the markers.
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
    replace(path, text)
    return filled


def summary(results: Sequence[Result]) -> Iterator[str]:
    """Three sentences, with where and when."""
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
        for name in (*dict(CHECKS), SCHEDULES)
        if any(result.checks.get(name, Outcome.PASS) is not Outcome.PASS for result in results)
    ]
    yield from summary(results)
    yield ""
    yield table_row(["class", "fault", *checks, "drafts", "the tool says", "caught", "after"])
    yield table_row(["---", "---", *(":-:" for _ in (*checks, "drafts")), "---", "---:", "---:"])
    for runs in faults_of(results):
        result = runs.first
        yield table_row(
            [
                result.family,
                f"`{result.id}`" + (" (lossy by design)" if result.label else ""),
                *(cell(result, check) for check in checks),
                drafts_cell(result),
                said_cell(runs),
                str(runs.caught),
                after(runs),
            ]
        )


def cell(result: Result, check: str) -> str:
    """What one check has said; in brackets where it is the one that had to speak."""
    mark = SPOKE[result.checks.get(check, Outcome.PASS)]
    return f"[{mark or '&nbsp;'}]" if check == result.caught_by else mark


def drafts_cell(result: Result) -> str:
    """The acceptance rate, before and after, where that is what is compared."""
    return ", ".join(f"{one.sound:.2f} → {one.rate:.2f}" for one in result.degradations)


def said_cell(runs: Runs) -> str:
    """What the tool says, in the first run that was missed where there is one."""
    missed = [result.said.value for result in runs.results if not result.caught]
    return f"**missed**: {missed[0]}" if missed else runs.first.said.value


def after(runs: Runs) -> str:
    """How many tokens it took to see it, over seeds."""
    return str(runs.tokens or "")


def catalogue(results: Sequence[Result]) -> Iterator[str]:
    """What each fault does wrong and which public bug it re-creates, by class."""
    every = [runs.first for runs in faults_of(results)]
    for family, members in groupby(every, key=lambda result: result.family):
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


def families(results: Sequence[Result]) -> Iterator[str]:
    """A row a class of faults: how many were caught, and which checks had to catch them."""
    yield table_row(["class", "what goes wrong", "caught", "by"])
    yield table_row(["---", "---", "---:", "---"])
    gathered: dict[str, list[Runs]] = {}
    for runs in faults_of(results):
        gathered.setdefault(runs.first.family, []).append(runs)
    for family, every in gathered.items():
        checks = Counter(runs.first.caught_by for runs in every)
        caught = sum(runs.always_caught for runs in every)
        yield table_row(
            [
                family,
                FAMILIES[family],
                f"{caught} of {len(every)}",
                ", ".join(f"`{check}` {count}" for check, count in checks.most_common()),
            ]
        )


def controls(results: Sequence[Result]) -> Iterator[str]:
    """Sound decoders: how often each was run, and what was said of it."""
    every = sorted(controls_of(results), key=lambda runs: runs.first.id)
    sound = [result for runs in every for result in runs.results]
    yield f"{accusations(tally(sound).accused)} ({occasion(sound)})."
    yield ""
    yield table_row(["control", "what it is", "candidate", "runs", "accused", "the tool says"])
    yield table_row(["---", "---", "---", "---:", "---:", "---"])
    for runs in every:
        name = runs.first.id
        yield table_row(
            [
                f"`{name}`",
                runs.first.summary,
                f"`{runs.first.candidate.removesuffix(f',fault={name}')}`",
                str(len(runs.results)),
                str(runs.accused.part),
                runs.said_words(),
            ]
        )


def messages(results: Sequence[Result]) -> Iterator[str]:
    """First failures as users see them."""
    by_id = {runs.first.id: runs.first for runs in faults_of(results)}
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
    "faults-families": families,
    "faults-matrix": matrix,
    "faults-catalogue": catalogue,
    "faults-controls": controls,
    "faults-messages": messages,
}
"""Marker to what is written between ``<!-- marker -->`` and ``<!-- /marker -->``."""
