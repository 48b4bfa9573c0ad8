"""Count the package's rooms, their floors and the arrows between them: `python -m tests.rooms`.

A room is a folder or module at the top of the package. An arrow is an import from one room by
another, lazy ones included; a floor is one more than the highest room below it.
"""

from __future__ import annotations

import sys
from graphlib import TopologicalSorter
from pathlib import Path

from tests.unit.source import PACKAGE, imports, module_of, modules


def rooms(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Every room to the rooms that it imports from."""
    known = {name: file for name, file in modules(package).items() if name != package.name}
    graph: dict[str, set[str]] = {}
    for name, file in known.items():
        reached = {module_of(found.name, known) for found in imports(file)}
        others = {module.split(".")[1] for module in reached if module is not None}
        graph.setdefault(room := name.split(".")[1], set()).update(others - {room})
    return graph


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """Every room to its floor, from 1.

    Raises:
        graphlib.CycleError: rooms import each other in a circle.
    """
    found: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        found[room] = 1 + max((found[below] for below in graph.get(room, ())), default=0)
    return found


if __name__ == "__main__":
    seen = rooms(Path(sys.argv[1]) if sys.argv[1:] else PACKAGE)
    stand = floors(seen)
    arrows = sum(map(len, seen.values()))
    print(f"{len(seen)} rooms on {max(stand.values())} floors, {arrows} arrows")
    for floor in range(max(stand.values()), 0, -1):
        print(f"{floor:3} ", ", ".join(sorted(room for room in stand if stand[room] == floor)))
