"""Shards of a run, merged, are the run: the same evidence, the same verdict, the same power."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Suite
from equivcheck.core.errors import EquivcheckError, RecordsError, SuiteError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.merge import merge
from equivcheck.pipeline.rejudge import rejudge
from equivcheck.pipeline.run import run
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import SAMPLED
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.score_table_file import SCORES_NAME
from equivcheck.records.shards import Which
from equivcheck.statistics.profiles import PROFILES
from tests.engines.drawing import BUDGET, SMALL, drawn_suite
from tests.engines.suite import make_suite

SUITE = make_suite()
TIMES = ("prefill_seconds", "total_seconds")
FREE = ("created", "run", "environment", "shard", "merged", "seal")
"""Of a header, what is of a machine, a time or a folder."""


@pytest.fixture(autouse=True)
def small_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROFILES:
        monkeypatch.setitem(PROFILES, name, SMALL)


def settings_of(setup: EngineSetup, **fields: Any) -> Settings:
    return Settings(setup=setup, candidate="native:gamma=3", sampled_batch=8, **fields)


def run_shards(settings: Settings, suite: Suite, folder: Path, *, of: int) -> Path:
    for number in range(1, of + 1):
        which = Which(number, of)
        found = run(settings, [suite], folder / which.folder, which=which)
        assert found.outcome is not Outcome.PASS
    return folder


def merged(settings: Settings, suite: Suite, folder: Path, *, of: int) -> Verdict:
    parts = run_shards(settings, suite, folder / "parts", of=of)
    return merge([parts], folder / "merged")[1]


def lines(records: Path) -> list[str]:
    """All lines in one order, without what is of a machine or a time."""
    found = []
    for line in records.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for name in FREE if record["type"] == "header" else ("seal",):
            record.pop(name, None)
        for told in record.get("arms", {}).values():
            told.pop("notes", None)
        if generation := record.get("generation"):
            generation["steps"] = [[*step[:3], *step[4:]] for step in generation.get("steps", ())]
            for name in TIMES:
                generation.pop(name, None)
        if record["type"] in ("finding", "verdict"):
            continue
        found.append(json.dumps(record, sort_keys=True))
    return sorted(found)


@pytest.fixture(scope="module")
def whole(setup: EngineSetup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(settings_of(setup, sampled=None), [SUITE], folder)
    return folder


@pytest.mark.parametrize("of", [1, 2, 5])
def test_merged_records_are_those_of_the_whole_run_but_for_times(
    of: int, setup: EngineSetup, whole: Path, tmp_path: Path
) -> None:
    verdict = merged(settings_of(setup, sampled=None), SUITE, tmp_path, of=of)
    records = tmp_path / "merged" / RECORDS_NAME
    assert lines(records) == lines(whole / RECORDS_NAME)
    one, other = read_evidence(records), read_evidence(whole)
    assert evidence_digest(one) == evidence_digest(other)
    assert other.sealed is not None
    assert (verdict.outcome, verdict.headline) == (other.sealed.outcome, other.sealed.headline)
    checks = [(found.check, found.subject, found.outcome) for found in verdict.findings]
    assert checks == [(found.check, found.subject, found.outcome) for found in other.findings]
    assert rejudge(records)[1] == verdict
    assert [part.index for part in one.header.merged] == list(range(1, of + 1))
    assert (tmp_path / "merged" / "report.html").is_file()


def test_a_fault_is_found_in_the_merged_run(setup: EngineSetup, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(
        settings_of(setup, sampled=None), candidate="native:gamma=3,fault=skip-first-check"
    )
    assert merged(broken, SUITE, tmp_path, of=2).outcome is Outcome.FAIL


def test_a_shard_that_was_changed_or_left_out_is_no_pass(
    setup: EngineSetup, tmp_path: Path
) -> None:
    settings = settings_of(setup, sampled=None)
    parts = run_shards(settings, SUITE, tmp_path / "parts", of=2)
    first, second = (parts / Which(number, 2).folder for number in (1, 2))
    out = tmp_path / "merged"
    with pytest.raises(RecordsError, match="1 of 2 shards are missing: 2"):
        merge([first], out)
    with pytest.raises(RecordsError, match="no shards are there"):
        merge([tmp_path], out)
    records = second / RECORDS_NAME
    stored = records.read_bytes()
    records.write_bytes(stored.replace(b'"finish_reason":"length"', b'"finish_reason":"eos"', 1))
    with pytest.raises(RecordsError, match="breaks the seal"):
        merge([parts], out)
    cut = stored[: stored.rindex(b'{"type":"verdict"')]
    records.write_bytes(cut)
    with pytest.raises(RecordsError, match="unfinished"):
        merge([parts], out)
    assert not (out / RECORDS_NAME).exists()
    with pytest.raises(SuiteError, match="11 shards of 10 cases"):
        run(settings, [SUITE], tmp_path / "more", which=Which(1, 11))
    with pytest.raises(EquivcheckError):
        merge([whole_of(settings, tmp_path)], out)


def whole_of(settings: Settings, tmp_path: Path) -> Path:
    run(settings, [SUITE], tmp_path / "whole")
    return tmp_path / "whole"


def distribution(verdict: Verdict) -> Finding:
    return next(found for found in verdict.findings if found.check == "sampled")


@pytest.mark.parametrize("of", [1, 2, 3])
def test_the_distribution_is_tested_over_the_draws_of_all_shards(
    of: int, setup: EngineSetup, tmp_path: Path
) -> None:
    verdict = merged(settings_of(setup), drawn_suite(), tmp_path, of=of)
    assert distribution(verdict).reason is Reason.DISTRIBUTION_HELD, distribution(verdict).headline
    evidence = read_evidence(tmp_path / "merged")
    drawn = sum(len(draw.token_ids) for draw in evidence.draws[SAMPLED].values())
    assert BUDGET <= drawn < 1.5 * BUDGET
    assert evidence.scores is not None
    assert evidence.scores.keys == tuple(evidence.draws[SAMPLED])
    assert evidence.scores.rows == drawn


def test_a_wrong_distribution_is_refuted_by_the_merged_draws(
    setup: EngineSetup, tmp_path: Path
) -> None:
    broken = msgspec.structs.replace(
        settings_of(setup), candidate="native:gamma=4,rule=rejection,fault=skip-first-check"
    )
    assert merged(broken, drawn_suite(), tmp_path, of=2).outcome is Outcome.FAIL


def test_scores_that_one_shard_lacks_leave_the_distribution_untested(
    setup: EngineSetup, tmp_path: Path
) -> None:
    parts = run_shards(settings_of(setup), drawn_suite(), tmp_path / "parts", of=2)
    (parts / Which(2, 2).folder / SCORES_NAME).unlink()
    verdict = merge([parts], tmp_path / "merged")[1]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert distribution(verdict).reason is Reason.NOT_SAMPLED
