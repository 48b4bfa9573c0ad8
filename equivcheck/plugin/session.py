"""One pytest session is one run: captured once, by whichever worker comes first, judged by all."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import pytest

from equivcheck.checks import lossy
from equivcheck.checks.subjects import RUN
from equivcheck.checks.verdict import DISTRIBUTION_CHECK, Verdict, about_case, judge
from equivcheck.core.atomic_write import writing
from equivcheck.core.cases import Suite
from equivcheck.core.errors import EquivcheckError
from equivcheck.core.escape import head, visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.load_settings import find_settings_file, load_settings
from equivcheck.core.load_suites import select
from equivcheck.core.schedule import leaders_of
from equivcheck.core.settings import Settings
from equivcheck.plugin import making
from equivcheck.plugin.marker import MARKER_NAME, Marker, read_marker
from equivcheck.plugin.properties import RunNote, of_run
from equivcheck.records.records_file import read_evidence
from equivcheck.records.run_folder import LATEST, lock, name_by_folder
from equivcheck.records.shards import dealt, read_which

if TYPE_CHECKING:
    from equivcheck.records.records import Evidence

SESSION: pytest.StashKey[Session] = pytest.StashKey()
"""Where a session that met a suite keeps its run."""


class Selectable(Protocol):
    """What a session asks of its items: of a suite's cases and gates."""

    name: str
    user_properties: list[tuple[str, object]]

    @property
    def suite(self) -> Suite:
        """The suite it belongs to."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """The cases that have to run for its sake alone."""
        ...


class Session:
    """The run of a pytest session: what is selected, where it lies, what came of it."""

    def __init__(self, config: pytest.Config) -> None:
        """Read settings and options; touch no folder yet."""
        self.config = config
        self.settings = read_settings(config)
        # Workers of a distributed session share its id, and so one run.
        workerinput: dict[str, str] = getattr(config, "workerinput", {})
        self.id = workerinput.get("testrunuid", uuid.uuid4().hex)
        out = config.getoption("--equivcheck-out")
        self.folder = Path(config.invocation_params.dir, out) if out else config.rootpath / LATEST
        shard = config.getoption("--equivcheck-shard")
        self.which = read_which(shard, os.environ) if shard else None
        if self.which:
            self.folder /= self.which.folder
        self.collected: list[Selectable] = []
        self.suites: tuple[Suite, ...] = ()
        self.verdict: Verdict | None = None
        self.evidence: Evidence | None = None
        self.failure: Exception | SystemExit | None = None
        self._homes: dict[str, Selectable] = {}
        """By item name, the first of that name: of gates, the one that tells of the whole run."""
        self._told = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the cases of other shards to these, once all else is selected."""
        if self.which is None:
            return
        self.choose(items)
        every = [key for suite in self.suites for key in keys_of(suite)]
        leaders = leaders_of(self.suites)
        own = dealt(every, of=self.which.of, leaders=leaders)[self.which.number - 1]
        others: set[object] = {
            item for item in self.collected if item.keys and own.isdisjoint(item.keys)
        }
        self.config.hook.pytest_deselected(items=[item for item in items if item in others])
        items[:] = [item for item in items if item not in others]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which cases are selected, once every ``-k``, ``-m`` and ``--lf`` has had its say."""
        self.select(session.items)

    def choose(self, items: Iterable[pytest.Item]) -> None:
        """Take the cases of the items that are selected; of a file with only gates, all cases."""
        running: set[object] = set(items)
        chosen = [item for item in self.collected if item in running]
        wanted: dict[str, tuple[Suite, list[str]]] = {}
        for item in chosen:
            wanted.setdefault(item.suite.path, (item.suite, []))[1].extend(item.keys)
        names = [key for suite, keys in wanted.values() for key in keys or keys_of(suite)]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise pytest.UsageError(f"equivcheck: two suites define the case {twice[0]!r}")
        self.suites = select([suite for suite, _ in wanted.values()], names)

    def select(self, items: Iterable[pytest.Item]) -> None:
        """Take note of the items that will run; shards have chosen their cases already."""
        items = list(items)
        if self.which is None:
            self.choose(items)
        running: set[object] = set(items)
        chosen = [item for item in self.collected if item in running]
        drawing = [it for it in self.collected if it.name == DISTRIBUTION_CHECK and not it.keys]
        # Draws cost minutes. They come with this gate; `replayed` judges them if they are there.
        if drawing and not any(item in running for item in drawing):
            self.settings = msgspec.structs.replace(self.settings, sampled=None)
        for item in chosen:
            self._homes.setdefault(item.name, item)
        note = RunNote(
            session=self.id,
            folder=os.path.relpath(self.folder, self.config.invocation_params.dir),
            selected=len(chosen),
            collected=len(self.collected),
        )
        for selected in chosen:
            selected.user_properties.append(of_run(note))

    def capture(self) -> None:
        """Run and judge, unless that was done, here or by another worker."""
        if self.verdict or self.failure:
            return
        try:
            with lock(self.folder, wait=True):
                if not self._shared():
                    self._own()
                self.evidence = read_evidence(self.folder)
                self.verdict = judge(self.evidence)
        # Raised again by every item that needed the run.
        except (Exception, SystemExit) as error:
            self.failure = error

    def raise_failure(self) -> None:
        """Raise what kept the run from being made: in full once, then in one line.

        Raises:
            Exception: whatever the engine or the preparations raised.
        """
        if self.failure is None:
            return
        if isinstance(self.failure, EquivcheckError):
            pytest.fail(str(self.failure).strip() or repr(self.failure), pytrace=False)
        if self._told:
            pytest.fail(f"{_in_short(self.failure)} (traceback above)", pytrace=False)
        self._told = True
        if isinstance(self.failure, making.Unforeseen):
            pytest.fail(str(self.failure), pytrace=False)
        raise self.failure

    def raise_broken(self, key: str) -> None:
        """Raise where an arm's engine broke on a case, so that it is an error and no failure.

        Raises:
            pytest.fail.Exception: naming the arm and what its engine said.
        """
        assert self.evidence is not None
        broken = [failed for failed in self.evidence.failures if failed.key == key]
        unanswered = [failed for failed in broken if key not in self.evidence.answers(failed.arm)]
        if unanswered:
            failed = unanswered[0]
            engine = head(self.evidence.header.arms[failed.arm].engine, cells=60)
            pytest.fail(f"{failed.arm} ({engine}): {visible(failed.message)}", pytrace=False)

    def about_gate(self, gate: Selectable) -> list[Finding] | None:
        """What a gate's check found about its workload; the first such gate also tells of the run.

        None where the check found nothing about either. Of what a lossy candidate does not claim,
        that it is lossy.
        """
        if gate.name in lossy.CLAIMS and (off := self._lossy()):
            return off
        found = [finding for finding in self._findings() if finding.check == gate.name]
        subjects = {gate.suite.workload} | ({RUN} if self._homes.get(gate.name) is gate else set())
        if not any(finding.subject in {gate.suite.workload, RUN} for finding in found):
            return None
        return [finding for finding in found if finding.subject in subjects]

    def about_case(self, key: str, *, workload: str) -> list[Finding]:
        """What was found about a case; where nothing was, one finding that says so."""
        assert self.evidence is not None
        if found := about_case(self.evidence, self._findings(), key) or self._lossy():
            return found
        doubts = [
            finding.headline
            for finding in self._findings()
            if finding.outcome is Outcome.INCONCLUSIVE and finding.subject == workload
        ]
        why = f": {doubts[0]}" if doubts else ""
        unknown = Finding(
            check="complete",
            subject=key,
            outcome=Outcome.INCONCLUSIVE,
            reason=Reason.NOTHING_COMPARED,
            headline=f"no check held this case against the target{why}",
        )
        return [unknown]

    def with_command(self, finding: Finding) -> Finding:
        """The finding with a repeat command that works from where pytest was started."""
        return name_by_folder(finding, self.folder)

    def _lossy(self) -> list[Finding]:
        return [finding for finding in self._findings() if finding.check == lossy.NAME]

    def _findings(self) -> tuple[Finding, ...]:
        assert self.verdict is not None
        return self.verdict.findings

    def _shared(self) -> bool:
        """Whether another worker of this session made the run.

        Raises:
            EquivcheckError: it tried, and could not.
        """
        marker = read_marker(self.folder, session=self.id)
        if marker is None:
            return False
        if marker.failure is not None:
            raise EquivcheckError(f"{marker.failure} (in the worker that captured)")
        return True

    def _own(self) -> None:
        with writing(self.folder / MARKER_NAME):
            (self.folder / MARKER_NAME).unlink(missing_ok=True)
        try:
            note = making.make_run_apart(
                making.Errand(
                    settings=self.settings,
                    suites=self.suites,
                    folder=str(self.folder),
                    which=self.which,
                )
            )
        except (Exception, SystemExit) as error:
            self._leave(failure=_in_short(error))
            raise
        self._leave(note=note)

    def _leave(self, *, failure: str | None = None, note: str = "") -> None:
        marker = Marker(session=self.id, failure=failure, note=note)
        with writing(self.folder / MARKER_NAME):
            (self.folder / MARKER_NAME).write_bytes(msgspec.json.encode(marker))


def _in_short(error: BaseException) -> str:
    """The first line of an error, behind its kind."""
    words = str(error).strip() or repr(error)
    named = words if isinstance(error, making.Unforeseen) else f"{type(error).__name__}: {words}"
    return named.splitlines()[0]


def session_of(config: pytest.Config) -> Session:
    """The one of this process; made, and told of what is selected, when the first suite is met."""
    if SESSION not in config.stash:
        config.stash[SESSION] = Session(config)
        config.pluginmanager.register(config.stash[SESSION])
    return config.stash[SESSION]


def read_settings(config: pytest.Config) -> Settings:
    """Settings from the project's file, then from the command line.

    Raises:
        SettingsError: a setting is unknown or out of range.
    """
    flags = {
        "setup.pair": config.getoption("--equivcheck-pair"),
        "candidate": config.getoption("--equivcheck-candidate"),
        "target": config.getoption("--equivcheck-target"),
        "baseline": config.getoption("--equivcheck-baseline"),
    }
    given = [f"{name}={value}" for name, value in flags.items() if value is not None]
    return load_settings(
        find_settings_file(config.rootpath),
        overrides=[*given, *config.getoption("--equivcheck-set")],
    )


def keys_of(suite: Suite) -> list[str]:
    """Every case of a suite."""
    return [suite.key(case) for case in suite.cases]
