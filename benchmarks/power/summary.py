"""The records as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]


def summary(records: Sequence[Record]) -> str:
    """For now the records' names."""
    return "\n".join(str(record.get("fault")) for record in records) + "\n"
