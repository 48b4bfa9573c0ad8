"""docs/structure.md is true: it names every module once, and nothing that is not there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from tests.unit.source import ROOT, modules, tracked_text

PAGE = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
ROOM = re.compile(r"^### `(?P<folder>[a-z_/]+/)`$")
ENTRY = re.compile(r"^- `(?P<file>[a-z_]+\.py)`: (?P<sentence>.*)$")
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


def named() -> Counter[str]:
    """Files that the page names, by path; a room stands for its ``__init__.py``."""
    found: Counter[str] = Counter()
    folder = None
    for line in PAGE.splitlines():
        if line.startswith("#"):
            room = ROOM.match(line)
            folder = room["folder"] if room else None
            if folder:
                found[f"{folder}__init__.py"] += 1
        elif folder and (entry := ENTRY.match(line)):
            found[folder + entry["file"]] += 1
    return found


def in_tree() -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in modules().values()}


def test_every_module_is_named_once() -> None:
    assert in_tree() - named().keys() == set()
    assert {file for file, times in named().items() if times != 1} == set()


def test_nothing_is_named_that_is_not_there() -> None:
    assert named().keys() - in_tree() == set()


def test_every_module_gets_one_sentence() -> None:
    sentences = [entry["sentence"] for line in PAGE.splitlines() if (entry := ENTRY.match(line))]
    assert len(sentences) > 100
    assert [text for text in sentences if not re.fullmatch(r"\S.*[^.]\.", text)] == []
    assert [text for text in sentences if ". " in text] == []


def test_every_folder_at_the_top_is_in_the_tree() -> None:
    folders = {PurePosixPath(file).parts[0] for file in tracked_text() if "/" in file}
    assert {folder for folder in folders if f"\n{folder}/ " not in PAGE} == set()


def pages() -> list[Path]:
    found = [
        page for place in (".", "docs", "suites") for page in sorted((ROOT / place).glob("*.md"))
    ]
    return [*found, *sorted((ROOT / "equivcheck").rglob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere_inside(page: Path) -> None:
    targets = [link["target"] for link in LINK.finditer(page.read_text(encoding="utf-8"))]
    local = [page.parent / target for target in targets if "://" not in target]
    assert [target for target in local if not target.exists()] == []
    assert all(target.resolve().is_relative_to(ROOT) for target in local)
