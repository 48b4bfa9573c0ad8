"""The project's own source as the structure tests see it: files, imports, tracked text."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "equivcheck"


class Import(NamedTuple):
    """One import statement's target."""

    name: str
    """Dotted: the module, or the module and the name taken from it."""
    lazy: bool
    """Inside a function, or for the type checker only: does not run when the module loads."""


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted name to file, of every module of the package; a package is its ``__init__.py``."""
    files = sorted(package.rglob("*.py"))
    dotted = (".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files)
    return {name.removesuffix(".__init__"): file for name, file in zip(dotted, files, strict=True)}


def imports(file: Path) -> list[Import]:
    """Every import in a file, wherever it stands."""
    return list(_imports(ast.parse(file.read_text(encoding="utf-8")), lazy=False))


def _imports(node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.module is not None, "imports are absolute here"
            yield from (Import(f"{child.module}.{alias.name}", lazy) for alias in child.names)
        else:
            yield from _imports(child, lazy=lazy or _defers(child))


def _defers(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def module_of(name: str, known: dict[str, Path]) -> str | None:
    """The module of the package that an import's name lies in; None for other packages."""
    while name not in known:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name


def tracked_text() -> dict[str, str]:
    """Path in the repository to content, of every tracked file that is text.

    Skips the test that asks where the source is no checkout: nothing is tracked there.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    found = {}
    for name in listed.stdout.split("\0"):
        file = ROOT / name
        if name and file.is_file() and b"\0" not in (content := file.read_bytes()):
            found[name] = content.decode("utf-8")
    return found
