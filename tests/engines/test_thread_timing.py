"""One thread is taken only where it is clearly faster; whole runs keep what was chosen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from equivcheck.capture.capture import capture
from equivcheck.core.errors import OtherRunError
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines import thread_timing
from equivcheck.engines.thread_timing import product_seconds, timed_threads
from equivcheck.pipeline.replay import replay
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET
from equivcheck.records.records_file import read_evidence
from equivcheck.records.run_folder import make_room
from tests.engines.suite import make_suite

SUITE = make_suite(count=2, tokens=4)


def never(setup: EngineSetup) -> int | None:
    raise AssertionError("timed")


@pytest.fixture
def unset(setup: EngineSetup) -> Settings:
    return Settings(setup=msgspec.structs.replace(setup, threads=None), sampled=None)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("one", "usual", "chosen"),
    [
        ([1.9, 1.9, 1.9], [1.0, 1.0, 1.0], 2),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 2),
        ([0.85, 0.85, 0.85], [1.0, 1.0, 1.0], 2),
        ([0.75, 0.75, 0.75], [1.0, 1.0, 1.0], 1),
        ([0.9, 0.9, 0.9], [1.0, 40.0, 0.9], 2),
        ([0.1, 0.9, 9.0], [1.0, 1.0, 1.0], 2),
    ],
    ids=["idle", "equal", "hardly faster", "clearly faster", "one outlier", "other outliers"],
)
def test_one_thread_is_taken_where_its_median_is_clearly_less(
    one: list[float], usual: list[float], chosen: int
) -> None:
    def times(setup: EngineSetup, threads: tuple[int, int]) -> tuple[list[float], list[float]]:
        assert threads == (1, 2)
        return one, usual

    assert timed_threads(EngineSetup(device="cpu"), times=times) == chosen


def test_with_one_thread_there_is_nothing_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(thread_timing, "product_seconds", None)
    assert timed_threads(EngineSetup(device="cpu")) is None


@pytest.mark.usefixtures("two")
def test_on_a_gpu_there_is_nothing_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_timing, "choose_device", lambda setup: torch.device("cuda"))
    assert timed_threads(EngineSetup()) is None


def test_products_are_timed_with_both_numbers_in_turn(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[int] = []
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", said.append)
    monkeypatch.setattr(thread_timing, "LIMIT", 0.0)
    one, usual = product_seconds(setup, (1, 2))
    assert min(*one, *usual) > 0
    assert len(one) == len(usual) == thread_timing.LEAST
    assert said == [1, 2] * (1 + thread_timing.LEAST) + [before]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_long_products_are_cut(
    setup: EngineSetup, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = msgspec.structs.replace(setup, dtype=dtype)
    whole = thread_timing._factors(wide)
    monkeypatch.setattr(thread_timing, "MOST_MULTIPLIED", 1)
    cut = thread_timing._factors(wide)
    assert [weight.shape[0] for _, weight in cut] == [1] * len(whole)
    assert {inputs.shape[0] for inputs, _ in whole} == {8 * setup.batch_size}
    assert len({tuple(weight.shape) for _, weight in whole}) == len(whole) > 2


def test_all_arms_take_the_chosen_number_and_a_resumed_run_keeps_it(
    unset: Settings, tmp_path: Path
) -> None:
    capture(unset, [SUITE], tmp_path, time_threads=lambda setup: 1)
    before = read_evidence(tmp_path)
    assert before.header.threads_timed
    assert before.header.settings.setup.threads == 1
    assert {before.header.arms[arm].threads for arm in (TARGET, CANDIDATE, CONTROL)} == {1}
    assert (before.header.arms[TARGET].identity or "").endswith("threads=1")
    assert make_room(tmp_path, unset, [SUITE]) == "resumed"
    set_to_other = msgspec.structs.replace(
        unset, setup=msgspec.structs.replace(unset.setup, threads=2)
    )
    with pytest.raises(OtherRunError, match=r"setup\.threads is 1 there, 2 here"):
        make_room(tmp_path, set_to_other, [SUITE])
    run(unset, [SUITE], tmp_path, resume=True, time_threads=never)
    after = read_evidence(tmp_path)
    assert after.header == before.header
    report = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert "threads 1, chosen by timing" in report


def test_a_case_is_replayed_with_the_stored_number(unset: Settings, tmp_path: Path) -> None:
    run(unset, [SUITE], tmp_path, time_threads=lambda setup: 1)
    evidence = read_evidence(tmp_path)
    assert replay(evidence, "mixed/c0").changed is None


def test_what_is_set_is_no_choice_of_timing(setup: EngineSetup, tmp_path: Path) -> None:
    run(Settings(setup=setup, sampled=None), [SUITE], tmp_path, time_threads=never)
    assert not read_evidence(tmp_path).header.threads_timed
    assert "chosen by timing" not in (tmp_path / "report.txt").read_text(encoding="utf-8")
