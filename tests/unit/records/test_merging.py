"""Shards that do not make one whole run are refused, each by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from equivcheck.checks.verdict import judge
from equivcheck.core.errors import RecordsError, SettingsError
from equivcheck.core.findings import Outcome
from equivcheck.core.settings import Settings
from equivcheck.records.merging import ShardRun, in_turn, merged_header, merged_records
from equivcheck.records.records import (
    CANDIDATE,
    TARGET,
    GenerationRecord,
    Header,
    RequestRecord,
    VerdictRecord,
)
from equivcheck.records.shards import Shard, Which, dealt, groups_of, read_which
from tests.unit.make import make_evidence, make_generation, make_request

KEYS = tuple(f"code/c{index}" for index in range(7))
SEALED = VerdictRecord(outcome=Outcome.INCONCLUSIVE, headline="", counts={})
MACHINE = {"python": "3.11", "equivcheck": "1", "cpu": "one"}


def shard_run(index: int, of: int = 3) -> ShardRun:
    shard = Shard(index=index, of=of, keys=KEYS)
    own = [key for key in KEYS if key in shard.cases]
    answers = [make_generation(key=key) for key in own]
    evidence = make_evidence(
        {TARGET: answers, CANDIDATE: answers},
        requests=[make_request(key) for key in own],
        shard=shard,
        environment=MACHINE,
    )
    return ShardRun(f"folder-{index}", replace(evidence, sealed=SEALED), f"seal-{index}")


def with_header(change: Callable[[Header], Header], run: ShardRun) -> ShardRun:
    return run._replace(evidence=replace(run.evidence, header=change(run.evidence.header)))


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_every_case_is_in_one_shard_and_sizes_differ_by_one(of: int) -> None:
    shares = dealt(KEYS, of=of, leaders={})
    assert sorted(key for share in shares for key in share) == sorted(KEYS)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == dealt(KEYS[::-1], of=of, leaders={})


def test_turns_of_a_session_stay_together() -> None:
    leaders = {KEYS[2]: KEYS[0], KEYS[5]: KEYS[0], KEYS[6]: KEYS[4]}
    shares = dealt(KEYS, of=3, leaders=leaders)
    assert sorted(key for share in shares for key in share) == sorted(KEYS)
    for later, first in leaders.items():
        assert [later in share for share in shares] == [first in share for share in shares]


@pytest.mark.parametrize("of", [1, 3, 7])
def test_a_merged_run_holds_every_case_in_the_order_of_the_suites(of: int) -> None:
    runs = in_turn([shard_run(index, of) for index in range(of, 0, -1)])
    header = merged_header(runs, run="merged")
    records = list(merged_records(runs, header))
    assert header.shard is None
    assert header.planned == {TARGET: KEYS, CANDIDATE: KEYS}
    assert [part.seal for part in header.merged] == [f"seal-{n}" for n in range(1, of + 1)]
    assert [each.request.key for each in records if isinstance(each, RequestRecord)] == list(KEYS)
    for arm in (TARGET, CANDIDATE):
        answered = [
            each for each in records if isinstance(each, GenerationRecord) and each.arm == arm
        ]
        assert [each.generation.key for each in answered] == list(KEYS)
    grouped = groups_of(header, KEYS)
    assert sorted(key for group in grouped for key in group) == sorted(KEYS)


def test_machines_may_differ_and_are_told() -> None:
    moved = with_header(
        lambda header: replace(header, environment=MACHINE | {"cpu": "another"}), shard_run(2)
    )
    header = merged_header(in_turn([shard_run(1), moved, shard_run(3)]), run="merged")
    assert header.environment["cpu"] == "one | another"
    assert [part.environment["cpu"] for part in header.merged] == ["one", "another", "one"]


OTHERS: dict[str, tuple[Callable[[Header], Header], str]] = {
    "settings": (lambda header: replace(header, settings=Settings(seed=1)), "settings.seed"),
    "version": (
        lambda header: replace(header, environment=MACHINE | {"equivcheck": "2"}),
        "environment.equivcheck",
    ),
    "models": (lambda header: replace(header, models={"target": "x"}), "models"),
    "commit": (lambda header: replace(header, git_commit="f00"), "git_commit"),
    "suites": (
        lambda header: replace(header, suites=(replace(header.suites[0], digest="d2"),)),
        r"suites\[0\].digest",
    ),
    "engine": (
        lambda header: replace(
            header, arms=header.arms | {TARGET: replace(header.arms[TARGET], engine="other")}
        ),
        "arms.target.engine",
    ),
    "cases": (
        lambda header: replace(header, shard=Shard(index=2, of=3, keys=(*KEYS, "code/new"))),
        "shard.keys",
    ),
    "number": (
        lambda header: replace(header, shard=Shard(index=2, of=4, keys=KEYS)),
        "shard.of",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_shard_of_another_run_is_refused(name: str) -> None:
    change, field = OTHERS[name]
    with pytest.raises(RecordsError, match=rf"folder-2: not a shard of the same run: .*{field}"):
        in_turn([shard_run(1), with_header(change, shard_run(2)), shard_run(3)])


def test_missing_doubled_unfinished_and_unsealed_shards_are_refused() -> None:
    first, second, third = (shard_run(index) for index in (1, 2, 3))
    with pytest.raises(RecordsError, match="1 of 3 shards are missing: 2"):
        in_turn([first, third])
    with pytest.raises(RecordsError, match="folder-2: shard 2 again"):
        in_turn([first, second, second, third])
    unfinished = second._replace(evidence=replace(second.evidence, sealed=None))
    with pytest.raises(RecordsError, match="folder-2: an unfinished shard"):
        in_turn([first, unfinished, third])
    unsealed = second._replace(evidence=replace(second.evidence, unsealed=True))
    with pytest.raises(RecordsError, match="folder-2: its lines have no seals"):
        in_turn([first, unsealed, third])
    whole = with_header(lambda header: replace(header, shard=None), second)
    with pytest.raises(RecordsError, match="folder-2: a whole run"):
        in_turn([first, whole, third])
    with pytest.raises(RecordsError, match="no shards"):
        in_turn([])


def test_a_shard_alone_never_passes() -> None:
    evidence = shard_run(1, of=1).evidence
    verdict = judge(evidence)
    assert verdict.outcome is not Outcome.PASS
    assert "shard 1 of 1" in verdict.headline + str(verdict.findings)


@pytest.mark.parametrize(
    ("text", "environment", "which"),
    [
        ("2/5", {}, (2, 5)),
        ("auto/5", {"JOB_COMPLETION_INDEX": "0"}, (1, 5)),
        ("auto/5", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}, (3, 5)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, (3, 4)),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "4",
                "SLURM_ARRAY_TASK_COUNT": "3",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            (3, 3),
        ),
    ],
)
def test_a_shard_is_named_or_found_in_the_environment(
    text: str, environment: dict[str, str], which: tuple[int, int]
) -> None:
    assert read_which(text, environment) == Which(*which)


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("0/5", {}),
        ("6/5", {}),
        ("2", {}),
        ("-1/5", {}),
        ("auto", {}),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}),
        ("auto/2", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "2"}),
        ("auto", {"SLURM_ARRAY_TASK_ID": "x", "SLURM_ARRAY_TASK_COUNT": "4"}),
    ],
)
def test_what_names_no_shard_is_refused(text: str, environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        read_which(text, environment)
