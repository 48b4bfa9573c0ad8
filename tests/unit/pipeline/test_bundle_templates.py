"""An adapter may put a file into a bundle that asks its engine without equivcheck."""

from __future__ import annotations

import runpy
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from equivcheck.pipeline import bundle_templates
from equivcheck.pipeline.bundle_script import script
from equivcheck.pipeline.bundle_templates import GROUP, templates

OFFERED = '''\
"""Answers with an option."""


def opened(options, facts, load):
    return lambda requests: {each["key"]: [int(options["token"])] for each in requests}
'''


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is found where an adapter is installed that offers a file for its engine `mine`."""
    (tmp_path / "offered_for_bundles.py").write_text(OFFERED)
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [
        EntryPoint("mine", "offered_for_bundles", GROUP),
        EntryPoint("other", "not_installed_at_all", GROUP),
    ]
    monkeypatch.setattr(bundle_templates, "entry_points", lambda group: entries)
    return templates(["mine:token=7", "native:gamma=0"])


def test_the_file_of_the_engine_alone_is_read_and_not_imported(offered: dict[str, str]) -> None:
    assert offered == {"engine_mine.py": OFFERED}
    assert "offered_for_bundles" not in sys.modules


def test_the_script_asks_the_engine_by_it(offered: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, text in (offered | {"repeat.py": script()}).items():
        (folder / name).write_text(text)
    ask = runpy.run_path(str(folder / "repeat.py"))["opened"]("mine:token=7", {})
    assert ask([{"key": "few/a"}])["few/a"].ids == [7]
