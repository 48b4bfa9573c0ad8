"""How much memory a process and all that it has started have taken at most."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def peak_bytes(pid: int) -> int | None:
    """Sum of the peaks of resident memory of a process and its descendants that run now.

    At least what they took together at any one time, pages that they share counted twice. None
    where the system does not tell.
    """
    peaks = [peak for each in _with_descendants(pid) if (peak := _peak(each)) is not None]
    return sum(peaks) if peaks else None


def _with_descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            # The name may hold blanks and brackets; what comes behind it does not.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def _peak(pid: int) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in (PROC / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
