"""What the fixture `equivcheck_run` gives a test: a function from cases to verdict and evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from equivcheck.checks.verdict import judge
from equivcheck.pipeline.assertions import Cases, EquivalenceResult, as_suites
from equivcheck.plugin import making
from equivcheck.plugin.session import read_settings
from equivcheck.records.records_file import read_evidence

if TYPE_CHECKING:
    import pytest

    from equivcheck.core.settings import Settings


class EquivcheckRun:
    """Compares engines with the session's settings, each run in a temporary folder of its own.

    ``equivcheck_run(cases)`` returns an `EquivalenceResult`; nothing is asserted, so a test can
    look at the verdict, the findings or the raw answers. For a plain yes or no there is
    `equivcheck.assert_equivalent`.
    """

    def __init__(self, config: pytest.Config, temporary: pytest.TempPathFactory) -> None:
        """Read the settings once; run nothing."""
        self.settings: Settings = read_settings(config)
        """From ``[tool.equivcheck]`` and the ``--equivcheck-…`` options."""
        self._temporary = temporary

    def __call__(
        self, cases: Cases, *, candidate: str | None = None, target: str | None = None
    ) -> EquivalenceResult:
        """Run both engines over the cases and judge; engines default to the settings'.

        Raises:
            EquivcheckError: a case, a setting, the pair or an engine cannot be used, or an engine
                has taken the process away in which it ran.
            Unforeseen: an error that is none of equivcheck's, raised in that process.
        """
        settings = msgspec.structs.replace(
            self.settings,
            candidate=candidate or self.settings.candidate,
            target=target or self.settings.target,
        )
        folder = self._temporary.mktemp("equivcheck")
        making.make_run_apart(
            making.Errand(settings=settings, suites=as_suites(cases), folder=str(folder))
        )
        evidence = read_evidence(folder)
        return EquivalenceResult(verdict=judge(evidence), evidence=evidence, folder=folder)
