"""Puts the suites into the wheel, beside the package's modules. All else is in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class WithSuites(build_py):
    """Builds the modules, and copies ``suites/`` into the package as ``equivcheck/suites/``."""

    def run(self) -> None:
        """Copy, unless the package stays where it is: there the folder is found beside it."""
        super().run()
        if self.editable_mode:
            return
        place = Path(self.build_lib) / "equivcheck" / "suites"
        self.mkpath(str(place))
        for suite in sorted((HERE / "suites").glob("*.jsonl")):
            self.copy_file(str(suite), str(place / suite.name))


setup(cmdclass={"build_py": WithSuites})
