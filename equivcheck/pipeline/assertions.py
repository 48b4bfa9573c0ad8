"""`assert_equivalent`: hold one engine against another inside any test.

The run goes through the same capture and the same checks as ``equivcheck run``; only where the
cases come from and how the verdict is told differ.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from equivcheck.capture.threads import spin_briefly
from equivcheck.core.cases import Case, Suite
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import SuiteError
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import Settings
from equivcheck.engines.registry import OpenEngine, lent
from equivcheck.records.records import CANDIDATE, TARGET, Evidence

if TYPE_CHECKING:
    from equivcheck.checks.verdict import Verdict

Cases = Suite | str | Path | Sequence[Case]
"""A suite, a suite file or folder of such, or cases made in the test."""

SHOWN = 3
"""Findings opened in a message."""
LISTED = "cases"
"""Workload of cases that come as a list."""


class NotEquivalent(AssertionError):
    """The candidate differs from the target. The first line is the verdict."""


class Inconclusive(AssertionError):
    """Too little was seen to say; this is no pass."""


class EquivalenceResult(NamedTuple):
    """What a comparison has shown, and what it rests on."""

    verdict: Verdict
    evidence: Evidence
    folder: Path
    """Where the run's records are, unless they were not to be kept."""


def assert_equivalent(
    candidate: str | Engine,
    target: str | Engine,
    *,
    cases: Cases,
    settings: Settings | None = None,
    folder: str | Path | None = None,
) -> EquivalenceResult:
    """Run two engines over the cases and fail unless they are shown to be equivalent.

    Args:
        candidate: The engine under test: a name such as ``native:gamma=4``, or an open engine. An
            open engine stays the caller's to close, and is itself asked again where a name would
            be opened anew.
        target: The reference, likewise, e.g. ``native:gamma=0``.
        cases: What to run.
        settings: Pair, dtype, strictness; its own two engines are not used. None: the defaults.
        folder: Keeps the records, so that ``equivcheck replay`` can use them. None: a new folder
            under the system's temporary one, kept where the verdict is no pass.

    Returns:
        The verdict and its evidence.

    Raises:
        NotEquivalent: some check failed.
        Inconclusive: none failed, but not all could tell.
        EquivcheckError: a case, a setting, the pair or an engine cannot be used.
    """
    given = {CANDIDATE: candidate, TARGET: target}
    objects = {f"given-{arm}": each for arm, each in given.items() if not isinstance(each, str)}
    named = {arm: each if isinstance(each, str) else f"given-{arm}" for arm, each in given.items()}
    chosen = msgspec.structs.replace(settings or Settings(), **named)
    home = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="equivcheck-"))
    with lent({name: _opener(engine) for name, engine in objects.items()}):
        comparison = compare(chosen, cases, home)
    outcome = comparison.verdict.outcome
    if outcome is Outcome.PASS:
        if folder is None:
            shutil.rmtree(home)
        return comparison
    kind = NotEquivalent if outcome is Outcome.FAIL else Inconclusive
    raise kind(message_of(comparison, repeatable=not objects))


def compare(settings: Settings, cases: Cases, folder: Path) -> EquivalenceResult:
    """Run ``settings.candidate`` against ``settings.target``, keep the records in ``folder``.

    Raises:
        EquivcheckError: the run cannot be made, or the folder holds an unfinished other one.
    """
    spin_briefly()
    from equivcheck.pipeline.run import run
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import clear, lock, make_room

    suites = as_suites(cases)
    with lock(folder):
        start = make_room(folder, settings, suites)
        verdict = run(settings, suites, folder, resume=start == "resumed", make_way=clear)
        return EquivalenceResult(verdict=verdict, evidence=read_evidence(folder), folder=folder)


def as_suites(cases: Cases) -> tuple[Suite, ...]:
    """Whatever form the cases have, as suites.

    Raises:
        SuiteError: a file is unusable, there are no cases, or two share an id.
    """
    from equivcheck.core.load_suites import load_suites

    if isinstance(cases, Suite):
        return (cases,)
    if isinstance(cases, str | Path):
        return load_suites([cases])
    ids = [case.id for case in cases]
    if not ids:
        raise SuiteError("no cases were given")
    for place, name in enumerate(ids):
        if ids.index(name) != place:
            raise SuiteError(f"cases[{place}]: id: {name!r} is already that of another case")
    listed = tuple(cases)
    return (
        Suite(
            path="<cases>",
            workload=LISTED,
            description="made in a test",
            cases=listed,
            lines=tuple(range(1, len(listed) + 1)),
            digest=hashlib.sha256(msgspec.json.encode(listed)).hexdigest(),
        ),
    )


class _Borrowed:
    """Somebody else's open engine, which a run must not close."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        return self.engine.generate(requests)

    def close(self) -> None:
        """Leave it open."""


def _opener(engine: Engine) -> OpenEngine:
    return lambda options, setup: _Borrowed(engine)


def message_of(comparison: EquivalenceResult, *, repeatable: bool = True) -> str:
    """The verdict, then the worst findings with their evidence and commands.

    Args:
        comparison: What was shown.
        repeatable: Whether a command can repeat a case: not where an engine lives in a test only.
    """
    from equivcheck.core.escape import harmless
    from equivcheck.records.run_folder import name_by_folder
    from equivcheck.report.blocks import block_lines
    from equivcheck.report.view import view_of

    view = view_of(comparison.evidence, comparison.verdict)
    lines = [view.headline, view.arms]
    for block in view.problems[:SHOWN]:
        finding = name_by_folder(block.finding, comparison.folder)
        if not repeatable:
            finding = msgspec.structs.replace(finding, repeat=None)
        lines += ["", *block_lines(finding, where=block.where)]
    if (more := len(view.problems) - SHOWN) > 0:
        lines.append(f"… {more} more in {comparison.folder}")
    return "\n".join(map(harmless, lines))
