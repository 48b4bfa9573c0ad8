"""docs/structure.md lists the rooms that there are; links in the documentation lead somewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from equivcheck.core.findings import Reason
from tests.unit.source import ROOT, modules, tracked_text

PAGE = ROOT / "docs" / "structure.md"
ROW = re.compile(r"^\| (?P<floor>\d+) \| `(?P<room>\w+)` \|", re.MULTILINE)
SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z`])")
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


def test_the_page_has_every_room_on_its_floor() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = [(row["room"], int(row["floor"])) for row in ROW.finditer(text)]
    assert sorted(shown) == sorted(floors().items())


def floors() -> dict[str, int]:
    """Every room to its floor, from 1, by the contract that import-linter keeps."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    rooms = {path.parent.name for path in (ROOT / "equivcheck").glob("*/__init__.py")}
    return {
        room: floor
        for floor, layer in enumerate(reversed(layers), start=1)
        for room in layer.split(" | ")
        if room in rooms
    }


def test_every_module_begins_with_one_sentence() -> None:
    said = {file: sentence(file) for file in modules().values()}
    assert len(said) > 300
    assert [file for file, text in said.items() if not re.fullmatch(r"\S.*[^.][.?]", text)] == []


def sentence(file: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert said is not None, f"{file} has no docstring"
    summary = " ".join(said.split("\n\n")[0].split())
    return SENTENCE_END.split(summary, maxsplit=1)[0]


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


def test_triage_explains_every_reason_code() -> None:
    page = (ROOT / "docs" / "triage.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", page, re.MULTILINE)
    codes = [code for row in rows for code in re.findall(r"`([a-z-]+)`", row)]
    assert {reason.value for reason in Reason} - set(codes) == set()


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
