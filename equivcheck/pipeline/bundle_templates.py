"""What adapters offer to a bundle: a file that asks their engine without equivcheck."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from equivcheck.engines.naming import EngineSpec

GROUP = "equivcheck.repeats"
"""Entry points: an engine's name to a module, which is read and not imported."""


def templates(engines: Iterable[str]) -> dict[str, str]:
    """File name to text for every engine whose adapter offers one."""
    found = {}
    names = {EngineSpec.parse(text).name for text in engines}
    for entry in entry_points(group=GROUP):
        if entry.name in names and entry.name.isidentifier():
            spec = importlib.util.find_spec(entry.value)
            if spec is not None and spec.origin is not None:
                found[f"engine_{entry.name}.py"] = Path(spec.origin).read_text(encoding="utf-8")
    return found
