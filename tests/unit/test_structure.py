"""docs/structure.md lists the modules that there are; links in the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

from tests.structure_page import PAGE, page, sentence
from tests.unit.source import ROOT, modules, tracked_text

LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


def test_the_list_of_modules_is_todays() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make structure`"


def test_every_module_gets_one_sentence() -> None:
    said = [sentence(file) for file in modules().values()]
    assert len(said) > 300
    assert [text for text in said if not re.fullmatch(r"\S.*[^.][.?]", text)] == []


def test_every_folder_at_the_top_is_in_the_tree() -> None:
    text = PAGE.read_text(encoding="utf-8")
    folders = {PurePosixPath(file).parts[0] for file in tracked_text() if "/" in file}
    assert {folder for folder in folders if f"\n{folder}/ " not in text} == set()


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


ELSEWHERE = {"faults": "quality", "plugin": "plugin", "testing": "engines"}
"""Room to the folder of `tests/` that tests it with engines or pytest, not by the module."""


def test_every_room_has_its_tests() -> None:
    folders = {init.parent.name for init in (ROOT / "equivcheck").glob("*/__init__.py")}
    homes = {room: ROOT / "tests" / "unit" / room for room in folders}
    homes |= {room: ROOT / "tests" / folder for room, folder in ELSEWHERE.items()}
    assert {room for room, home in homes.items() if not [*home.glob("test_*.py")]} == set()


def test_no_folder_of_unit_tests_is_without_a_room() -> None:
    folders = {init.parent.name for init in (ROOT / "tests" / "unit").glob("*/__init__.py")}
    rooms = {init.parent.name for init in (ROOT / "equivcheck").glob("*/__init__.py")}
    assert folders - rooms == {"benchmarks", "training"}
