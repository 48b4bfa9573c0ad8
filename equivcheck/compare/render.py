"""A comparison as lines for a terminal, as Markdown, and the command to go on with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from equivcheck.baselines.cell_words import LEGEND, MARKS, change_words, from_to
from equivcheck.baselines.facts import Differing
from equivcheck.baselines.store import DEFAULT, is_name
from equivcheck.baselines.trend import Trends
from equivcheck.baselines.trend_words import TREND_HEADER, trend_cells
from equivcheck.compare.comparison import Broken, Comparison, Row
from equivcheck.core.escape import clip, head
from equivcheck.core.findings import Outcome
from equivcheck.records.baseline_record import Baseline
from equivcheck.report.blocks import SYMBOLS, WIDTH
from equivcheck.report.layout import columns
from equivcheck.report.markdown import code, escape, table

MOST_BROKEN = 10
MOST_DIFFERENCES = 12
HEADER = ("", "workload", "prompts", "passing", "acceptance", "change (95 %)")
TIMES = ("speedup", "change (95 %)", "p99 ratio", "tokens/s")


def lines_of(found: Comparison, *, command: str) -> Iterator[str]:
    """The verdict, what differs, newly broken cases, the table, the terms, and one command."""
    yield clip(head(found.headline, cells=3 * WIDTH), cells=3 * WIDTH)
    yield clip(f"base {head(found.base, cells=80)}", cells=WIDTH)
    yield clip(f"new  {head(found.new, cells=80)}", cells=WIDTH)
    if found.broken:
        yield ""
        yield from (clip(broken_words(each), cells=WIDTH) for each in found.broken[:MOST_BROKEN])
        if (more := len(found.broken) - MOST_BROKEN) > 0:
            yield f"… {more} more cases"
    if found.rows:
        yield ""
        yield from columns([header_of(found), *(cells_of(row, found) for row in found.rows)])
        if words := memory_words(found):
            yield words
    for finding in found.limits:
        mark = SYMBOLS[finding.outcome]
        yield clip(
            f"{mark} {finding.outcome.value} limit {finding.subject}: {finding.headline}",
            cells=WIDTH,
        )
    if found.differences:
        yield ""
        yield "differs from the base:"
        for each in found.differences[:MOST_DIFFERENCES]:
            yield clip(f"  {difference_words(each)}", cells=WIDTH)
        if (more := len(found.differences) - MOST_DIFFERENCES) > 0:
            yield f"  … {more} more"
    for note in found.notes:
        yield clip(f"note: {head(note, cells=WIDTH)}", cells=WIDTH)
    yield ""
    yield from terms_lines(found)
    yield command


def markdown_of(found: Comparison, *, command: str) -> str:
    """The same for a pull request, ending in a line end."""
    lines = [f"## {escape(head(found.headline, cells=3 * WIDTH))}", ""]
    if found.differences:
        lines += ["> Differs from the base:"]
        lines += [
            f"> - {escape(difference_words(each))}" for each in found.differences[:MOST_DIFFERENCES]
        ]
        lines += [""]
    lines += [
        f"base {escape(head(found.base, cells=80))}, new {escape(head(found.new, cells=80))}",
        "",
    ]
    if found.broken:
        lines += [f"- {escape(broken_words(each))}" for each in found.broken[:MOST_BROKEN]] + [""]
    if found.rows:
        first, *rest = header_of(found)
        rows = [cells_of(row, found) for row in found.rows]
        lines += [*table((first or "state", *rest), rows), ""]
        if words := memory_words(found):
            lines += [escape(words), ""]
    lines += [
        f"- {f.outcome.value}: {escape(f.subject)}: {escape(f.headline)}" for f in found.limits
    ]
    lines += [f"note: {escape(head(note, cells=WIDTH))}" for note in found.notes]
    lines += [escape(line) for line in terms_lines(found)]
    return "\n".join([*lines, "", code(command)]) + "\n"


def terms_lines(found: Comparison) -> Iterator[str]:
    """From where on a change counts, and what has to be excluded."""
    terms = found.terms
    if found.rows:
        yield LEGEND
        yield (
            f"paired by prompt, 95 % intervals; acceptance: a change counts from {terms.effect:g}, "
            f"a drop of {_margins(found)} has to be excluded"
        )
    if has_times(found):
        yield (
            f"times: a change counts from {terms.time_effect:.0%}, "
            f"a loss of {terms.time_margin:.0%} has to be excluded"
        )


def _margins(found: Comparison) -> str:
    """The terms' own, or each workload's where limits replace it."""
    if all(row.margin == found.terms.margin for row in found.rows):
        return f"{found.terms.margin:g}"
    return ", ".join(f"{row.margin:g} ({head(row.workload, cells=30)})" for row in found.rows)


def header_of(found: Comparison) -> tuple[str, ...]:
    """With the columns of times where something was measured."""
    return HEADER + (TIMES if has_times(found) else ())


def cells_of(row: Row, found: Comparison) -> tuple[str, ...]:
    """State, workload, prompts, passing, acceptance and its change; then times."""
    prompts = f"{row.prompts}" + (f" ({row.missing} not run)" if row.missing else "")
    cells = (
        f"{SYMBOLS[row.outcome]} {row.outcome.value}",
        row.workload,
        prompts,
        str(row.passing),
        from_to(row.acceptance),
        change_words(row.acceptance),
    )
    if not has_times(found):
        return cells
    return (
        *cells,
        from_to(row.speedup),
        change_words(row.speedup, relative=True),
        f"{from_to(row.p99_ratio)} {MARKS[row.p99_ratio.state]}".strip(),
        f"{change_words(row.tokens_per_second, relative=True)}",
    )


def has_times(found: Comparison) -> bool:
    """Whether any row has a figure of time."""
    return any(row.speedup.base is not None for row in found.rows)


def memory_words(found: Comparison) -> str | None:
    """One line about memory; None where the base does not know it."""
    cell = found.memory
    if cell.base is None:
        return None
    change = "" if cell.change is None else f" ({100 * cell.change:+.1f} %)"
    return f"{MARKS[cell.state]} memory overhead {from_to(cell)}{change}"


def broken_words(each: Broken) -> str:
    """``✗ newly diverged code/fib (identical in the base)``."""
    mark = SYMBOLS[Outcome.FAIL if each.fails else Outcome.INCONCLUSIVE]
    before = f"{each.before} in the base" if each.before else "not in the base"
    return (
        f"{mark} {'newly ' if each.newly else ''}{each.state} {head(each.key, cells=60)} ({before})"
    )


def difference_words(each: Differing) -> str:
    """``candidate: native:gamma=4 in the baseline, native:gamma=7 here``."""
    return head(each.words, cells=2 * WIDTH)


def next_command(found: Comparison, *, base: str, new: str) -> str:
    """What to type next, given the names that were compared."""
    ours, theirs = shlex.quote(new), shlex.quote(base)
    if fails := [each for each in found.broken if each.fails]:
        return f"equivcheck replay {ours} {shlex.quote(fails[0].key)}"
    if found.word in ("NOT COMPARABLE", "SAME OR BETTER"):
        return f"equivcheck baseline accept {ours} --name {saved_name(base)}"
    return f"equivcheck compare {theirs} {ours}"


def saved_name(base: str) -> str:
    """The name that a base was saved under, or the default for what is no saved baseline."""
    stem = base.removesuffix(".json").rpartition("/")[2]
    return stem if is_name(stem) and "/" not in base.removesuffix(".json") else DEFAULT


def shown_lines(baseline: Baseline) -> Iterator[str]:
    """One baseline: where it is from, what has to be equal, acceptance by workload."""
    yield clip(f"{baseline.name}: {head(baseline.headline, cells=WIDTH)}", cells=WIDTH)
    if baseline.forced:
        yield clip(
            f"saved although it did not pass: {head(baseline.forced, cells=80)}", cells=WIDTH
        )
    yield f"run {head(baseline.run, cells=40)} · {baseline.created}"
    rows = []
    for workload in baseline.workloads:
        counts = list(baseline.counts(workload).values())
        drafted = sum(each.drafted for each in counts)
        accepted = sum(each.accepted for each in counts)
        rate = f"{accepted / drafted:.3f}" if drafted else "n/a"
        rows.append((head(workload, cells=30), f"{len(counts)}", rate, f"{accepted:,}/{drafted:,}"))
    if rows:
        yield ""
        yield from columns([("workload", "prompts", "acceptance", "accepted"), *rows])
    yield ""
    facts = {**baseline.facts, **baseline.under_test}
    yield from columns([(name, head(value, cells=60)) for name, value in facts.items()])


def trend_lines(found: Trends) -> Iterator[str]:
    """One row a workload, then what could not be lined up."""
    points = max((len(trend.values) for trend in found.trends), default=0)
    states = "1 state" if points == 1 else f"{points} states"
    yield f"acceptance over {states} of {head(found.name, cells=40)}"
    if found.trends:
        yield from columns([TREND_HEADER, *map(trend_cells, found.trends)], last_cells=60)
    for differing in found.left_out:
        yield f"x not comparable, left out: {head(differing.words, cells=80)}"
