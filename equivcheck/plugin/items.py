"""Suite files, cases and gates as pytest nodes.

A case's item fails by the findings about that case; a gate's item by those of one check about the
file's workload or the whole run. What was captured, and when, is `session.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equivcheck.capture.draws.plan import may_be_drawn
from equivcheck.capture.replicas import replicas_of
from equivcheck.checks import CHECKS
from equivcheck.checks.complete import why_left_out
from equivcheck.checks.exercised import required_events, with_required_events
from equivcheck.checks.sessions import why_not_judged
from equivcheck.checks.verdict import DISTRIBUTION_CHECKS
from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import EquivcheckError, did_you_mean
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import WorkloadLimits
from equivcheck.plugin.failing import GateNotPassed, failure_text
from equivcheck.plugin.properties import of_findings
from equivcheck.plugin.session import Session, session_of

_SAMPLED_ONLY, _GREEDY_ONLY, _GRADED_ONLY, _EVENTS = "coupled", "greedy", "score", "events"
_SESSIONS, _SCHEDULES, _REPLICAS = "sessions", "schedules", "replicas"
OF_ALL_SHARDS = "of all shards together: `equivcheck merge` has the verdict"
_MARKS_WITH_A_MEANING = frozenset(
    {"skip", "skipif", "xfail", "usefixtures", "filterwarnings", "parametrize"}
)
"""A workload of such a name gets no mark: it would skip its own cases."""


class SuiteFile(pytest.File):
    """A suite. Captures both arms before its first item runs."""

    suite: Suite

    def collect(self) -> Iterator[pytest.Item]:
        """One item a case, then one a gate."""
        try:
            self.suite = load_suite(self._shown_path())
            ours = session_of(self.config)
        except EquivcheckError as error:
            raise self.CollectError(str(error)) from None
        mark = self._mark()
        for item in self._items():
            if mark is not None:
                item.add_marker(mark)
            ours.collected.append(item)
            yield item

    def setup(self) -> None:
        """Capture what is selected, once a session; failures are kept for the items to raise."""
        session_of(self.config).capture()

    def _items(self) -> Iterator[SuiteItem]:
        gates = [name for name, _ in CHECKS if self._applies(name)]
        for case, line in zip(self.suite.cases, self.suite.lines, strict=True):
            if case.id in gates:
                raise self.CollectError(
                    f"{self.suite.path}:{line}: id: {case.id!r} is the name of a gate; "
                    f"choose another"
                )
            yield CaseItem.from_parent(self, name=case.id, case=case, line=line)
        for name in gates:
            yield GateItem.from_parent(self, name=name, line=1)

    def _applies(self, gate: str) -> bool:
        greedy = {case.sampling.greedy for case in self.suite.cases}
        drawn = False in greedy and may_be_drawn(session_of(self.config).settings, self.suite)
        applies = {
            _SAMPLED_ONLY: False in greedy,
            _GREEDY_ONLY: True in greedy,
            _SESSIONS: any(case.session for case in self.suite.cases),
            _SCHEDULES: self.suite.timed,
            _REPLICAS: bool(replicas_of(session_of(self.config).settings)),
            _GRADED_ONLY: any(case.grader for case in self.suite.cases),
            _EVENTS: bool(required_events(with_required_events(session_of(self.config).settings))),
            **self._limits(),
            **dict.fromkeys(DISTRIBUTION_CHECKS, drawn),
        }
        return applies.get(gate, True)

    def _limits(self) -> dict[str, bool]:
        """Gates that a project has to ask for."""
        settings = session_of(self.config).settings
        limits = settings.workload.get(self.suite.workload, WorkloadLimits())
        drop = limits.max_acceptance_drop is not None
        misspelt = not drop and did_you_mean(self.suite.workload, settings.workload)
        return {
            "acceptance": drop or limits.min_acceptance is not None or bool(misspelt),
            "baseline": drop or settings.baseline is not None,
        }

    def _mark(self) -> pytest.MarkDecorator | None:
        workload = self.suite.workload
        if workload in _MARKS_WITH_A_MEANING:
            return None
        self.config.addinivalue_line("markers", f"{workload}: cases of the {workload} suite")
        mark: pytest.MarkDecorator = getattr(pytest.mark, workload)
        return mark

    def _shown_path(self) -> str:
        """Relative to the folder pytest was started in, as the command line would name it."""
        shown = os.path.relpath(self.path, self.config.invocation_params.dir)
        return str(self.path) if shown.startswith("..") else shown


class SuiteItem(pytest.Item):
    """What cases and gates have in common."""

    parent: SuiteFile

    def __init__(self, *, line: int, **arguments: Any) -> None:
        """Stand on 1-based ``line`` of the suite file."""
        super().__init__(**arguments)
        self.line = line

    @property
    def suite(self) -> Suite:
        """The suite this item belongs to."""
        return self.parent.suite

    @property
    def ours(self) -> Session:
        """The session's one run."""
        return session_of(self.config)

    @property
    def keys(self) -> tuple[str, ...]:
        """The cases that have to run for this item's sake alone."""
        return ()

    def setup(self) -> None:
        """Pass on why there is nothing to look at, as an error and not as a failed gate."""
        self.ours.raise_failure()

    def reportinfo(self) -> tuple[Path, int, str]:
        """The case's own line, so that annotations land on it."""
        return self.path, self.line - 1, f"{self.suite.workload}/{self.name}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The headline, the evidence, the command that repeats it; no traceback."""
        if isinstance(excinfo.value, GateNotPassed):
            return failure_text(excinfo.value, path=self.suite.path, line=self.line)
        if isinstance(excinfo.value, EquivcheckError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style=style)

    def judge(self, findings: list[Finding]) -> None:
        """Note the findings for reports; raise unless all passed."""
        if findings:
            self.user_properties.append(of_findings(findings))
        if any(finding.outcome is not Outcome.PASS for finding in findings):
            raise GateNotPassed([self.ours.with_command(finding) for finding in findings])


class CaseItem(SuiteItem):
    """One case: fails by what was found about it."""

    def __init__(self, *, case: Case, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.case = case

    @property
    def key(self) -> str:
        """What the case is called in records."""
        return self.suite.key(self.case)

    @property
    def keys(self) -> tuple[str, ...]:
        """Itself."""
        return (self.key,)

    def setup(self) -> None:
        """An engine that broke on this case is an error too."""
        super().setup()
        self.ours.raise_broken(self.key)

    def runtest(self) -> None:
        """Look up the findings about this case. None at all is not a pass."""
        assert self.ours.evidence is not None
        if why := why_left_out(self.ours.evidence, self.key):
            pytest.skip(f"not asked: {why}")
        if why := why_not_judged(self.ours.evidence, self.key):
            pytest.skip(f"not judged: {why}")
        found = self.ours.about_case(self.key, workload=self.suite.workload)
        if self.ours.which:
            # Draws of all shards are tested together; only what fails alone is told here.
            own = [
                each for each in found if each.check not in DISTRIBUTION_CHECKS or _fails([each])
            ]
            if not own:
                pytest.skip(OF_ALL_SHARDS)
            found = own
        self.judge(found)


class GateItem(SuiteItem):
    """One check, over all selected cases of the file."""

    def runtest(self) -> None:
        """Look up what the check found about the workload and about the run."""
        found = self.ours.about_gate(self)
        if found is None:
            pytest.skip(f"the gate {self.name!r} had nothing to look at in these cases")
        if self.ours.which and not _fails(found):
            pytest.skip(OF_ALL_SHARDS)
        self.judge(found)


def _fails(findings: list[Finding]) -> bool:
    return any(finding.outcome is Outcome.FAIL for finding in findings)
