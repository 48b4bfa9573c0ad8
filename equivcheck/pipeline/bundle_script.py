"""Put the parts of a bundle's script together as one file that needs no other."""

from __future__ import annotations

import ast
from pathlib import Path

_FOLDER = Path(__file__).parent / "repeating"
_PARTS = (
    *("answers.py", "rules.py", "by_url.py", "in_process.py", "asking.py", "counting.py"),
    "repeat.py",
)
"""What a part imports of another stands before it."""
_OURS = f"{__package__}.repeating"


def script() -> str:
    """The script's text: the docstring of `repeat.py`, all imports once, then every part."""
    imports: set[str] = set()
    bodies, text = [], ""
    for name in _PARTS:
        source = (_FOLDER / name).read_text(encoding="utf-8")
        tree = ast.parse(source)
        head = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        text = f'"""{ast.get_docstring(tree, clean=False)}"""'
        imports.update(ast.unparse(node) for node in head if not _between_parts(node))
        lines = source.splitlines(keepends=True)
        bodies.append("".join(lines[head[-1].end_lineno :]).strip("\n"))
    future = "from __future__ import annotations"
    ordered = [future, *sorted(imports - {future})]
    return "\n\n\n".join(("\n\n".join((text, "\n".join(ordered))), *bodies)) + "\n"


def _between_parts(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OURS)
