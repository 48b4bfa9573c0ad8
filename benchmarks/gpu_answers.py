"""What the answers of `benchmarks.gpu` are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

NOT_MEASURED = "not measured"


class Row(NamedTuple):
    """One question."""

    question: str
    answer: str


def records_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; none where there is no file. A torn last line is left out."""
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
