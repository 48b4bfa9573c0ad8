"""What the answers of `benchmarks.gpu` are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from equivcheck.journal import whole_lines

NOT_MEASURED = "not measured"


class Row(NamedTuple):
    """One question."""

    question: str
    answer: str


def records_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; none where there is no file. A torn last line is left out."""
    return [json.loads(line.text) for line in whole_lines(path)] if path.is_file() else []
