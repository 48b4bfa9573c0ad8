"""What a report shows after its first screen: every case, the settings in force, the manifest.

Part of the view, so pure, and text from outside is escaped here. Only the HTML report draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.escape import head
from equivcheck.core.findings import Finding, Outcome, worst
from equivcheck.core.generation import Counts
from equivcheck.records.records import CANDIDATE, Evidence, Header

CELLS = 80
"""Most of one fact: a name, a path, a version."""
NOTHING = "not set"


class CaseRow(Struct, frozen=True, kw_only=True):
    """One case, as every check on it taken together found it."""

    case: str
    where: str
    outcome: Outcome
    found: str
    """The headline of its worst finding."""
    tokens: int | None
    """That the candidate answered with; None: it did not answer."""
    drafted: int
    accepted: int
    grade: str | None
    """What the graders said of both arms' answers; None: the case has none."""


class ArmRow(Struct, frozen=True, kw_only=True):
    """One arm, as its engine described itself."""

    arm: str
    engine: str
    runs_on: str
    contract: str
    notes: tuple[str, ...]


class Appendix(Struct, frozen=True, kw_only=True):
    """Everything behind the first screen."""

    cases: tuple[CaseRow, ...]
    """Worst first, among equals in the order of the suites."""
    arms: tuple[ArmRow, ...]
    settings: dict[str, str]
    """Dotted name to value."""
    suites: dict[str, str]
    """Path to how much is in it, and which bytes those are."""
    models: dict[str, str]
    environment: dict[str, str]


def appendix_of(evidence: Evidence, findings: Sequence[Finding]) -> Appendix:
    """Arrange what a judged run rests on."""
    header = evidence.header
    return Appendix(
        cases=_case_rows(evidence, findings),
        arms=tuple(_arm_rows(header)),
        settings=dict(_flat(msgspec.to_builtins(header.settings))),
        suites={
            head(suite.path, cells=CELLS): f"{suite.workload} · {suite.cases} cases in the file · "
            f"digest {head(suite.digest, cells=16)}"
            for suite in header.suites
        },
        models=_told(header.models),
        environment=_told(header.environment) | _parts(header),
    )


def _parts(header: Header) -> dict[str, str]:
    """What of a merged run came from where."""
    return {
        f"shard {part.index}": head(
            f"{len(part.keys):,} cases · {part.environment.get('cpu', '')} · {part.created} · "
            f"evidence {part.evidence[:16]}",
            cells=2 * CELLS,
        )
        for part in header.merged
    }


def _case_rows(evidence: Evidence, findings: Sequence[Finding]) -> tuple[CaseRow, ...]:
    about: dict[str, list[Finding]] = {key: [] for key in evidence.asked}
    for finding in findings:
        if finding.subject in about:
            about[finding.subject].append(finding)
    grades = _grade_words(evidence)
    rows = [_case_row(evidence, key, found, grades.get(key)) for key, found in about.items()]
    return tuple(sorted(rows, key=lambda row: -row.outcome.severity))


def _grade_words(evidence: Evidence) -> dict[str, str]:
    """One word where the arms agree, else one for each."""
    told: dict[str, dict[str, str]] = {}
    for found in evidence.grades:
        told.setdefault(found.key, {})[found.arm] = _GRADES[found.result]
    return {
        key: next(iter(words.values()))
        if len({*words.values()}) == 1
        else ", ".join(f"{head(arm, cells=CELLS)} {word}" for arm, word in words.items())
        for key, words in told.items()
    }


_GRADES = {"right": "right", "wrong": "wrong", "off": "off", "broken": "could not be"}


def _case_row(evidence: Evidence, key: str, found: Sequence[Finding], grade: str | None) -> CaseRow:
    outcome = worst([finding.outcome for finding in found])
    telling = next((each.headline for each in found if each.outcome is outcome), "not compared")
    asked = evidence.asked[key]
    captured = evidence.captured.get(CANDIDATE, {}).get(key)
    counts = captured.generation.drafts_counted if captured else Counts(drafted=0, accepted=0)
    return CaseRow(
        case=head(key, cells=CELLS),
        where=f"{head(asked.path, cells=CELLS)}:{asked.line}",
        outcome=outcome,
        found=telling,
        tokens=len(captured.generation.token_ids) if captured else None,
        drafted=counts.drafted,
        accepted=counts.accepted,
        grade=grade,
    )


def _arm_rows(header: Header) -> Iterator[ArmRow]:
    for arm, engine in header.arms.items():
        runs_on = [engine.device, engine.dtype]
        if engine.threads is not None:
            runs_on.append(f"{engine.threads} threads")
        yield ArmRow(
            arm=head(arm, cells=CELLS),
            engine=head(engine.engine, cells=CELLS),
            runs_on=head(" · ".join(runs_on), cells=CELLS),
            contract=head(engine.identity or "none", cells=CELLS),
            notes=tuple(head(text, cells=2 * CELLS) for text in engine.notes),
        )


def _flat(tree: Mapping[str, Any], *, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", NOTHING if value is None else head(str(value), cells=CELLS)


def _told(facts: Mapping[str, str]) -> dict[str, str]:
    return {head(name, cells=CELLS): head(value, cells=2 * CELLS) for name, value in facts.items()}
