"""Where the suites that come with equivcheck are: in an installed package, or beside a checkout's.

A path ``suites/...`` that is not there means these, so that every command of the documentation
works without a checkout.
"""

from __future__ import annotations

from pathlib import Path

NAME = "suites"
_PACKAGE = Path(__file__).parents[1]


def bundled_suites() -> Path | None:
    """The folder; None: this installation has none."""
    if (installed := _PACKAGE / NAME).is_dir():
        return installed
    checkout = _PACKAGE.parent
    # Beside an installed package may lie anything.
    beside = (checkout / "pyproject.toml").is_file() and (checkout / NAME).is_dir()
    return checkout / NAME if beside else None


def suite_place(path: Path) -> Path:
    """Where a suite, or a folder of suites, that is named ``path`` is read from."""
    if path.exists() or path.parts[:1] != (NAME,):
        return path
    bundled = bundled_suites()
    place = path if bundled is None else bundled.joinpath(*path.parts[1:])
    return place if place.exists() else path
