"""The names that users and authors of adapters import, all from `equivcheck` itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import equivcheck
from tests.unit.source import ROOT, modules

PAGES = ("README.md", "CONTRIBUTING.md", "docs/write-an-adapter.md", "docs/pytest.md")
INNER = re.compile(r"(?:from|import) equivcheck\.\w+")


@pytest.mark.parametrize("name", equivcheck.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(equivcheck, name) is not None
    assert name in dir(equivcheck)


def test_a_type_checker_is_told_of_every_name() -> None:
    source = (ROOT / "equivcheck" / "__init__.py").read_text(encoding="utf-8")
    named = re.findall(r"^    from equivcheck\.[\w.]+ import (\w+) as \1$", source, re.MULTILINE)
    assert sorted(named) == sorted(set(equivcheck.__all__) - {"__version__"})


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'assert_equal'"):
        _ = equivcheck.assert_equal


@pytest.mark.parametrize("page", PAGES)
def test_pages_for_users_import_from_the_face_alone(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert INNER.findall(text) == []


def test_a_type_of_the_face_costs_no_torch() -> None:
    code = (
        "import sys; from equivcheck import Capabilities, Engine, EngineSetup, Generation, Step;"
        "from equivcheck import check_engine, decode_options, load_engine;"
        "print(sorted({'torch', 'numpy', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def classes_of(files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Name and module of every public class at the top of a module."""
    for module, file in files.items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, module


def shared_names(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Each name that several public classes have, to their modules."""
    homes: dict[str, list[str]] = {}
    for name, module in classes_of(files):
        homes.setdefault(name, []).append(module)
    return {name: where for name, where in homes.items() if len(where) > 1}


def test_no_two_public_classes_have_one_name() -> None:
    assert shared_names(modules()) == {}


def test_a_shared_name_is_seen_and_a_private_one_left_alone(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text("class Answer: ...\n\n\nclass _Row: ...\n", encoding="utf-8")
    files = {name: tmp_path / name for name in ("first", "second")}
    assert shared_names(files) == {"Answer": ["first", "second"]}
