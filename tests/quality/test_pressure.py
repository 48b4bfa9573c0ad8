"""Power and control of `suites/pressure.jsonl`: a fault of serving fails the gate, and no other.

Each fault answers every request rightly that is asked without its times.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.replay import replay
from equivcheck.pipeline.run import run
from equivcheck.records.records import SERVED
from equivcheck.records.records_file import read_evidence
from tests.unit.source import ROOT

SETTINGS = Settings(
    setup=EngineSetup(pair="tiny", device="cpu", threads=1, context=512),
    control=None,
    sampled=None,
    probe_every=1000,
    rescore_every=1000,
    baseline=None,
)
SUITE = load_suite(ROOT / "suites" / "pressure.jsonl")


def gate(folder: Path, candidate: str) -> Verdict:
    return run(msgspec.structs.replace(SETTINGS, candidate=candidate), [SUITE], folder)


def test_a_sound_server_passes_and_is_put_under_pressure(tmp_path: Path) -> None:
    # With a step in flight, as on a GPU.
    verdict = gate(tmp_path / "run", "native:gamma=4,lag=1")
    assert verdict.outcome is Outcome.PASS, verdict.headline
    evidence = read_evidence(tmp_path / "run")
    (served,) = (each for each in evidence.served if each.arm == SERVED)
    happened = [each.happened for each in served.events]
    assert happened.count("given up") == 7
    assert happened.count("preempted") >= 2
    begun = [each for each in served.events if each.happened == "begun"]
    assert any(each.recomputed for each in begun)
    assert sum(each.cached for each in begun) > 1000


@pytest.mark.parametrize(
    ("fault", "happened"),
    [
        ("kept-back-tokens-follow", "given up"),
        ("counts-lost-on-preemption", "preempted"),
        ("row-reused-in-flight,lag=1", "given up"),
        ("served-samples-share-seed", "begun"),
    ],
)
def test_a_fault_of_serving_fails_the_gate(fault: str, happened: str, tmp_path: Path) -> None:
    verdict = gate(tmp_path / "run", f"native:gamma=4,fault={fault}")
    assert verdict.outcome is Outcome.FAIL
    failed = [each for each in verdict.findings if each.reason is Reason.SCHEDULE_DEPENDENT]
    assert failed
    assert {each.check for each in failed} == {"schedules"}
    assert any(happened in line for each in failed for line in each.details)
    with pytest.raises(RecordsError, match=r"this serves its suite again: equivcheck run .*fault="):
        replay(read_evidence(tmp_path / "run"), failed[0].subject)
    # Asked without times, it is not to be told from a sound one.
    assert not any(
        each.outcome is not Outcome.PASS for each in verdict.findings if each.check == "greedy"
    )
