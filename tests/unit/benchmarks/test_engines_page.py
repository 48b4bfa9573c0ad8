"""The page about engines: every verdict, every check, and nothing where there was nothing."""

from __future__ import annotations

from typing import Any

from benchmarks.engines_page import NOT_HERE, page

ROW: dict[str, Any] = {
    "name": "a-draft",
    "command": "equivcheck run suite.jsonl",
    "exit": 1,
    "minutes": 1.5,
    "versions": {"a": "1.0"},
    "headline": "NOT EQUIVALENT — one",
    "workloads": [{"identical": 3, "cases": 4, "acceptance": 0.25}],
    "law": {"tokens": 41_000, "refuted": True},
    "near_ties": [],
    "gates": [
        {"check": "greedy", "outcome": "fail"},
        {"check": "sampled", "outcome": "inconclusive"},
    ],
}
PLAIN = ROW | {
    "name": "b",
    "exit": 0,
    "law": None,
    "workloads": [{"identical": 4, "cases": 4, "acceptance": None}],
    "gates": [{"check": "greedy", "outcome": "pass"}],
}
REFUSED = {
    "name": "c",
    "command": "equivcheck run",
    "exit": 2,
    "minutes": 0.1,
    "refused": "no such package",
}


def test_each_row_has_its_verdict_and_each_check_its_mark() -> None:
    lines = list(page([ROW, PLAIN, REFUSED]))
    assert "| a-draft | NOT EQUIVALENT | 3/4 | 0 | 0.25 to 0.25 | 41,000, refuted | 1.5 |" in lines
    assert "| b | EQUIVALENT | 4/4 | 0 | not told | none | 1.5 |" in lines
    assert "| c | refused | | | | | 0.1 |" in lines
    assert "| row | greedy | sampled |" in lines
    assert "| a-draft | **fail** | ? |" in lines
    # What had nothing to judge did not pass.
    assert "| b | pass |  |" in lines
    assert NOT_HERE in lines
    assert "Refused: no such package" in lines
    assert "**a-draft** (a 1.0)" in lines
