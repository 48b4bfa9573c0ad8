"""How many rows of logits `benchmarks.identity` has compared, and how many of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu_answers import NOT_MEASURED, Row, records_of

FOUND = ("positions_with_other_bits", "requests_with_other_tokens")
COMPARED = ("positions", "positions_with_other_bits", "requests", "requests_with_other_tokens")


def identity(path: Path) -> Iterator[Row]:
    """Rows of logits compared and differing, for each kind of comparison, over all gammas."""
    last: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for each in records_of(path):
        key = (each["pair"], each["dtype"], each["batch_size"], promise_of(each), *arm_of(each))
        last[key] = what_counts(last.get(key), each)
    sums: dict[str, list[int]] = {}
    for record in last.values():
        contract = promise_of(record)
        spec, size = arm_of(record)
        name = (
            f"{record['pair']} {record['dtype']}, {contract}, plain at batch "
            f"{record['batch_size']} against {decoding(spec)} at batch {size}"
        )
        counts = [*(record[field] for field in COMPARED), drafted_rows(record)]
        before = sums.setdefault(name, [0] * len(counts))
        sums[name] = [one + other for one, other in zip(before, counts, strict=True)]
    if not sums:
        yield Row("identity", NOT_MEASURED)
    for name, (positions, bits, requests, tokens, drafted) in sums.items():
        behind = f" (compared behind kept drafts: {drafted:,})" if drafted else ""
        yield Row(
            f"identity: {name}",
            f"{bits:,} of {positions:,} rows of logits differ{behind}, {tokens:,} of "
            f"{requests:,} requests have other tokens",
        )


def drafted_rows(record: Mapping[str, Any]) -> int:
    """Rows that do not come from the first slot of a window; 0 where slots were not counted."""
    return sum(record.get("positions_by_slot", ())[1:])


def what_counts(before: Mapping[str, Any] | None, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of two comparisons of the same requests: the one that found more, or that of later code."""
    if before is None or not record.get("code") or before.get("code") != record["code"]:
        return record
    return max(record, before, key=lambda each: [each[name] for name in FOUND])


def promise_of(record: Mapping[str, Any]) -> str:
    """The contract without the shape, which other code may choose otherwise."""
    return str(record["contract"] or "no contract").partition(" ")[0]


def arm_of(record: Mapping[str, Any]) -> tuple[str, int]:
    """Engine and batch size that were held against plain decoding."""
    return record["arm"], record.get("arm_batch_size", record["batch_size"])


def decoding(spec: str) -> str:
    """A native engine in words."""
    options = spec.partition(":")[2].split(",")
    if "gamma=0" not in options:
        return "speculative"
    return "plain, one token wide," if "width=1" in options else "plain"
