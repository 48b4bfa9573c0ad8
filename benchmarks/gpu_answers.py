"""What the answers of `benchmarks.gpu` are made of."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from equivcheck.records.journal import whole_lines

NOT_MEASURED = "not measured"


class Row(NamedTuple):
    """One question."""

    question: str
    answer: str


def records_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; none where there is no file. A torn last line is left out."""
    return [json.loads(line.text) for line in whole_lines(path)] if path.is_file() else []


def ways_to_launch(path: Path) -> str:
    """Steps by each way to launch kernels, of `benchmarks.ahead`; times of all rounds' median."""
    told = (
        f"gamma {each['gamma']}, {each['arm']}: "
        f"{1e3 * statistics.median(each['step_seconds']):.2f} ms"
        + ("" if each["same_bits"] else ", with OTHER BITS")
        for each in records_of(path)
    )
    return "; ".join(told) or NOT_MEASURED
