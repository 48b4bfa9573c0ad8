"""A comparison in words: the verdict's sentence, and what has to be known beside it. Pure."""

from __future__ import annotations

from equivcheck.baselines.cells import Cell
from equivcheck.compare.comparison import Broken, Row, Word
from equivcheck.core.findings import Finding, Outcome
from equivcheck.records.baseline_record import Baseline
from equivcheck.records.seal import UNSEALED


def sentence(
    base: Baseline,
    new: Baseline,
    rows: tuple[Row, ...],
    broken: tuple[Broken, ...],
    memory: Cell,
    held: tuple[Finding, ...],
    outcome: Outcome,
) -> tuple[Word, str]:
    """The word for what was found, and the sentence that follows it."""
    if fails := [each for each in broken if each.fails]:
        newly = [each for each in fails if each.newly]
        if not newly:
            return (
                "NOT EQUIVALENT",
                f"{_cases(len(fails))} not the target's, as in the base already",
            )
        first = f"first {newly[0].key}: {newly[0].state}"
        return "NOT EQUIVALENT", (
            f"{_cases(len(fails))} not the target's, {len(newly)} of them newly; {first}"
        )
    if new.answers is Outcome.FAIL:
        return "NOT EQUIVALENT", f"the new run failed: {new.headline}"
    if measured := [row for row in rows if row.diverged]:
        names = ", ".join(row.workload for row in measured)
        return "NOT EQUIVALENT", (
            f"tokens of {names} are not the target's in the new measurement; "
            f"first {measured[0].diverged[0]}"
        )
    worse = [told for row in rows for told in _worse(row)]
    if memory.state == "worse":
        worse.append(f"memory overhead {memory.base:.2f} → {memory.new:.2f}")
    worse += [f"{f.subject}: {f.headline}" for f in held if f.outcome is Outcome.FAIL]
    if outcome is Outcome.FAIL:
        return "REGRESSED", "; ".join(worse[:3]) + ("; …" if worse[3:] else "")
    if outcome is Outcome.INCONCLUSIVE:
        unheld = [f for f in held if f.outcome is Outcome.INCONCLUSIVE]
        return "INCONCLUSIVE", _doubt(base, new, rows, memory, unheld)
    better = sum("better" in (row.acceptance.state, row.speedup.state) for row in rows)
    prompts = sum(row.prompts for row in rows)
    improved = f", {better} of {len(rows)} workloads better" if better else ""
    return "SAME OR BETTER", f"nothing is worse on {prompts} paired prompts{improved}"


def _worse(row: Row) -> list[str]:
    told = []
    if row.acceptance.state == "worse":
        a = row.acceptance
        told.append(f"acceptance of {row.workload} {a.base:.2f} → {a.new:.2f}")
    for name, cell in (("speedup", row.speedup), ("p99 ratio", row.p99_ratio)):
        if cell.state == "worse":
            told.append(f"{name} of {row.workload} {cell.base:.2f} → {cell.new:.2f}")
    return told


def unfinished(base: Baseline, new: Baseline) -> str | None:
    """Which measurement is, and what it lacks; None: neither."""
    for name, each in (("base", base), ("new", new)):
        if each.bench and each.bench.missing:
            return f"the {name} measurement is {each.bench.missing}"
    return None


def _doubt(
    base: Baseline,
    new: Baseline,
    rows: tuple[Row, ...],
    memory: Cell,
    unheld: list[Finding],
) -> str:
    if told := unfinished(base, new):
        return told
    if new.answers is Outcome.INCONCLUSIVE:
        return f"the new run is: {new.headline}"
    missing = sum(row.missing for row in rows)
    lost = [told for row in rows for told in _lost(row)]
    if memory.lost:
        lost.append("memory overhead")
    if lost and not missing:
        more = ", …" if lost[3:] else ""
        return f"the base has figures that the new run lacks: {', '.join(lost[:3])}{more}"
    if not any(row.prompts for row in rows):
        return "no prompt was answered in both runs"
    if missing:
        return f"{missing} of the base's prompts were not run"
    if unmeasured := [row for row in rows if row.unmeasured]:
        first = unmeasured[0]
        return f"{first.unmeasured} of the base's times of {first.workload} were not measured"
    if unheld:
        return f"{unheld[0].subject}: {unheld[0].headline}"
    unsure = next(row.workload for row in rows if row.outcome is Outcome.INCONCLUSIVE)
    return f"too few prompts in {unsure} to exclude the loss that is allowed for"


def _lost(row: Row) -> list[str]:
    cells = (
        ("acceptance", row.acceptance),
        ("speedup", row.speedup),
        ("p99 ratio", row.p99_ratio),
    )
    return [f"{name} of {row.workload}" for name, cell in cells if cell.lost]


def notes(base: Baseline, new: Baseline) -> list[str]:
    """What a reader has to know beside the figures."""
    notes = []
    if base.forced:
        notes.append(f"the base did not pass and was saved nevertheless: {base.forced}")
    if without := [name for name, of in (("base", base), ("new", new)) if of.unsealed]:
        notes.append(f"{' and '.join(without)} {UNSEALED}")
    if base.bench and new.bench and base.bench.machine != new.bench.machine:
        notes.append("measured on different machines: only ratios within a run are compared")
    if base.bench and not new.bench:
        notes.append("the new run has no measurement: speedup, p99 and memory are not compared")
    added = [name for name in new.workloads if name not in base.workloads]
    if added:
        notes.append(f"not in the base: {', '.join(added)}")
    return notes


def _cases(count: int) -> str:
    return "1 case is" if count == 1 else f"{count} cases are"
