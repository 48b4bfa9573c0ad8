"""Baselines, from acceptance counts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equivcheck.core.findings import Outcome
from equivcheck.records.baseline_record import SCHEMA, Baseline, CaseFact


def make_case(
    drafted: int, accepted: int, *, outcome: Outcome = Outcome.PASS, state: str = "identical"
) -> CaseFact:
    return CaseFact(drafted=drafted, accepted=accepted, outcome=outcome, state=state)


def make_baseline(cases: Mapping[str, CaseFact] | None = None, **fields: Any) -> Baseline:
    given: dict[str, Any] = {
        "equivcheck_baseline": SCHEMA,
        "name": "main",
        "run": "run-1",
        "created": "2026-01-02T03:04:05Z",
        "verdict": Outcome.PASS,
        "headline": "EQUIVALENT",
        "facts": {"suites.code": "d1", "setup.dtype": "float32", "device": "cpu"},
        "under_test": {"candidate": "native:gamma=4"},
        "environment": {"python": "3.11.2"},
        "cases": dict(cases if cases is not None else even_cases()),
    } | fields
    return Baseline(**given)


def even_cases(
    *, accepted: int = 60, workload: str = "code", count: int = 8
) -> dict[str, CaseFact]:
    """Prompts that differ a little from each other."""
    return {f"{workload}/{n}": make_case(100, accepted + n % 3) for n in range(count)}
