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
        for suite in sorted((HERE / "suites").rglob("*.jsonl")):
            target = place / suite.relative_to(HERE / "suites")
            self.mkpath(str(target.parent))
            self.copy_file(str(suite), str(target))


setup(cmdclass={"build_py": WithSuites})
