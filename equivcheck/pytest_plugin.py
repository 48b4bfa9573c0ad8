"""The pytest plugin: hooks only. The work is in `equivcheck.plugin`, imported when a suite is met.

In a session without suites it adds a few options to ``--help`` and nothing else: no imports beyond
this file, no folders, no output.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from equivcheck.plugin.fixture import EquivcheckRun
    from equivcheck.plugin.items import SuiteFile


def pytest_addoption(parser: pytest.Parser) -> None:
    """The few things one may want to change from run to run; the rest is in the settings file."""
    group = parser.getgroup("equivcheck", "equivcheck: speculative against plain decoding")
    group.addoption("--equivcheck-pair", metavar="PAIR", help="pair of models [setup.pair]")
    group.addoption("--equivcheck-candidate", metavar="ENGINE", help="engine under test")
    group.addoption("--equivcheck-target", metavar="ENGINE", help="reference engine")
    group.addoption(
        "--equivcheck-baseline", metavar="NAME", help="saved run to hold this one against"
    )
    group.addoption(
        "--equivcheck-out", metavar="FOLDER", help="folder of the run (default: reports/latest)"
    )
    group.addoption(
        "--equivcheck-shard",
        metavar="I/N",
        help="only the I-th of N parts of the selected cases; auto or auto/N asks the environment",
    )
    group.addoption(
        "--equivcheck-set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a setting, e.g. setup.dtype=bfloat16; may be repeated",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Take ``*.jsonl`` files whose first line is a suite's header."""
    if file_path.suffix != ".jsonl":
        return None
    from equivcheck.plugin.sniffing import is_suite

    if not is_suite(file_path):
        return None
    from equivcheck.plugin.items import SuiteFile

    node: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    return node


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the verdict, where items of ours ran, be it in workers."""
    # Reports carry it, because the controller of a distributed session collects nothing itself.
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name.startswith("equivcheck"):
                    from equivcheck.plugin.properties import RUN_PROPERTY
                    from equivcheck.plugin.summary import write_summary

                    if name == RUN_PROPERTY:
                        write_summary(terminalreporter, value)
                        return


@pytest.fixture(scope="session")
def equivcheck_run(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> EquivcheckRun:
    """Compare two engines inside a test: ``equivcheck_run(cases).verdict``."""
    from equivcheck.plugin.fixture import EquivcheckRun

    return EquivcheckRun(pytestconfig, tmp_path_factory)
