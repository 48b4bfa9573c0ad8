"""The bundled suite of borders brings about, with the bundled pair, what it is there for."""

from __future__ import annotations

from pathlib import Path

from equivcheck.checks.events.vocabulary import events_of
from equivcheck.core.findings import Outcome
from equivcheck.core.load_suites import load_suites
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.run import run
from equivcheck.records.records_file import read_evidence
from tests.unit.source import ROOT

MADE_FOR = {
    "stop-id-each-slot",
    "stop-id-in-block",
    "stop-string-in-block",
    "stop-string-inside-token",
    "stop-string-at-token-end",
    "stop-string-across-tokens",
    "stop-at-limit",
    "limit-each-length",
    "minimum-each-length",
    "greedy-past-512",
    "sampled-past-256",
    "sampled-past-512",
    "prompt-again",
    "shared-16",
    "shared-64",
    "exact-tie",
    "near-tie",
}


def test_the_suite_of_borders(tmp_path: Path) -> None:
    settings = Settings(
        setup=EngineSetup(threads=1),
        control=None,
        sampled=None,
        probe_every=1000,
        rescore_every=1000,
        require_events=tuple(sorted(MADE_FOR)),
    )
    suites = load_suites([ROOT / "suites" / "borders.jsonl"])
    verdict = run(settings, suites, tmp_path / "run")
    assert verdict.outcome is Outcome.PASS, verdict.headline
    found = {event.id for event in events_of(read_evidence(tmp_path / "run")) if event.exercised}
    assert found >= MADE_FOR
