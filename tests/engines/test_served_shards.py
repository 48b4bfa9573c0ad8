"""Shards of a run with times: a suite with times stays whole, and merged it is as unsharded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Suite
from equivcheck.core.errors import SuiteError
from equivcheck.core.findings import Outcome
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.merge import merge
from equivcheck.pipeline.run import run
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import SERVED, SERVED_TARGET
from equivcheck.records.records_file import read_evidence
from equivcheck.records.shards import Which
from tests.engines.test_served_suites import CASES, HEADER

SETTINGS = Settings(
    setup=EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=2, context=128),
    candidate="native:gamma=3",
    control=None,
    sampled=None,
    probe_every=1000,
    rescore_every=1000,
    baseline=None,
)


def written(path: Path, *lines: dict[str, object]) -> Suite:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_suite(path)


@pytest.fixture
def suites(tmp_path: Path) -> list[Suite]:
    short = ({"max_new_tokens": 8, "ignore_eos": True, **case} for case in CASES)
    timed = written(tmp_path / "p.jsonl", HEADER, *short)
    plain = [{"id": f"c{at}", "prompt": f"Part {at}", "max_new_tokens": 4} for at in range(2)]
    head = {"equivcheck": 1, "workload": "plain"}
    return [timed, written(tmp_path / "plain.jsonl", head, *plain)]


def test_merged_it_is_the_run_without_shards(suites: list[Suite], tmp_path: Path) -> None:
    whole = run(SETTINGS, suites, tmp_path / "whole")
    for number in (1, 2):
        which = Which(number, 2)
        found = run(SETTINGS, suites, tmp_path / "parts" / which.folder, which=which)
        assert found.outcome is not Outcome.PASS
    _, verdict = merge([tmp_path / "parts"], tmp_path / "merged")
    assert (verdict.outcome, verdict.headline) == (Outcome.PASS, whole.headline)
    assert of_schedules(verdict) == of_schedules(whole)
    one, other = read_evidence(tmp_path / "whole"), read_evidence(tmp_path / "merged")
    assert evidence_digest(other) == evidence_digest(one)
    assert [each.arm for each in other.served] == [each.arm for each in one.served]
    assert {each.arm for each in other.served} == {SERVED, SERVED_TARGET}
    assert len(other.served[0].schedule.arrivals) == len(CASES)


def of_schedules(verdict: Verdict) -> list[str]:
    return [each.headline for each in verdict.findings if each.check == "schedules"]


def test_more_shards_than_can_have_a_case_are_refused(suites: list[Suite], tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="4 shards of 8 cases, of which 5 belong to earlier ones"):
        run(SETTINGS, suites, tmp_path / "run", which=Which(1, 4))
