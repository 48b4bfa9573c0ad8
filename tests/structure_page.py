"""Write the list of modules in docs/structure.md from their docstrings: `make structure`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.unit.source import ROOT, modules

PAGE = ROOT / "docs" / "structure.md"
BEGIN, END = "<!-- modules: written by make structure -->\n", "<!-- /modules -->"
SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z`])")


def page() -> str:
    """The page as it should be: what is written by hand, around the list of today's modules."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{listing()}\n{END}{after}"


def listing() -> str:
    """A heading and a sentence a folder, a line a module."""
    lines: list[str] = []
    for file in sorted(modules().values(), key=lambda file: (file.parent, file.name)):
        said = sentence(file)
        if file.name == "__init__.py":
            lines += ["", f"### `{file.parent.relative_to(ROOT).as_posix()}/`", "", said, ""]
        else:
            lines.append(f"- `{file.name}`: {said}")
    return "\n".join(lines).strip() + "\n"


def sentence(file: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert said is not None, f"{file} has no docstring"
    summary = " ".join(said.split("\n\n")[0].split())
    return SENTENCE_END.split(summary, maxsplit=1)[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
