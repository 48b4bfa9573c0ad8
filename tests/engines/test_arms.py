"""Arms in turn and one at a time, here and in processes of their own: who is open, what is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from equivcheck.capture.capture import capture
from equivcheck.capture.control import NATIVE_CONTROL
from equivcheck.core.engine import Capabilities
from equivcheck.core.engine_tables import EngineTable
from equivcheck.core.errors import OtherRunError
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.registry import lent, load_engine
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, CONTROL, SAMPLED, TARGET, Evidence
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from tests.engines.drawing import drawn_suite
from tests.engines.suite import make_suite

SUITE = make_suite()


class Watched:
    """The native engine, and a list of who was open when."""

    def __init__(self, watch: Watch, options: Mapping[str, str], setup: EngineSetup) -> None:
        self.watch, self.name = watch, str(EngineSpec(name="watched", options=dict(options)))
        native = EngineSpec(name="native", options=dict(options))
        self.engine = load_engine(str(native), setup)
        watch.open.append(self.name)
        watch.opened.append(self.name)
        watch.most = max(watch.most, len(watch.open))

    @property
    def capabilities(self) -> Capabilities:
        told = self.engine.capabilities
        return msgspec.structs.replace(told, exclusive=self.watch.exclusive, versions=self.watch.of)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for answer in self.engine.generate(requests):
            if self.watch.left == 0:
                raise KeyboardInterrupt
            self.watch.left -= 1
            yield answer

    def close(self) -> None:
        self.watch.open.remove(self.name)
        self.engine.close()


class Watch:
    """Opens watched engines."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.opened: list[str] = []
        self.most = 0
        self.exclusive = False
        self.of: dict[str, str] = {}
        self.left = -1
        """Answers until Ctrl-C is pressed; below 0: never."""

    def forget(self) -> None:
        self.opened, self.most, self.left = [], 0, -1

    def __call__(self, options: Mapping[str, str], setup: EngineSetup) -> Watched:
        return Watched(self, options, setup)


@pytest.fixture
def watch() -> Iterator[Watch]:
    found = Watch()
    with ExitStack() as stack:
        stack.enter_context(lent({"watched": found}))
        yield found


@pytest.fixture
def settings(setup: EngineSetup) -> Settings:
    return Settings(
        setup=setup,
        target="watched:gamma=0",
        candidate="watched:gamma=3",
        control="watched:gamma=0,width=1",
    )


T, C, K = "watched:gamma=0", "watched:gamma=3", "watched:gamma=0,width=1"


def answers(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """What every arm answered, without times."""
    return {
        arm: {
            key: (each.text, each.generation.token_ids, each.generation.logit_digests)
            for key, each in captured.items()
        }
        for arm, captured in evidence.captured.items()
    }


def test_in_turn_all_are_open(settings: Settings, tmp_path: Path, watch: Watch) -> None:
    run(settings, [SUITE], tmp_path)
    assert watch.opened == [C, T, K, C]
    assert watch.most == 3
    assert watch.open == []
    assert read_evidence(tmp_path).header.order == "in turn"


@pytest.mark.parametrize("exclusive", [False, True])
def test_one_at_a_time_one_is_open(
    settings: Settings, tmp_path: Path, watch: Watch, exclusive: bool
) -> None:
    capture(settings, [SUITE], tmp_path / "in-turn")
    watch.forget()
    watch.exclusive = exclusive
    if not exclusive:
        settings = msgspec.structs.replace(settings, arms="one at a time")
    verdict = run(settings, [SUITE], tmp_path / "alone")
    evidence = read_evidence(tmp_path / "alone")
    assert watch.opened == [C, T, K, C]
    assert watch.most == 1
    assert evidence.header.order == "one at a time"
    assert verdict.outcome is Outcome.PASS, verdict.headline
    in_turn = read_evidence(tmp_path / "in-turn")
    assert answers(evidence) == answers(in_turn)
    told, before = evidence.header.arms, in_turn.header.arms
    assert {each.num_speculative_tokens for each in told.values()} == {0, 3}
    assert {arm: each.engine for arm, each in told.items()} == {
        arm: each.engine for arm, each in before.items()
    }


def test_the_order_that_is_asked_for_is_kept(
    settings: Settings, tmp_path: Path, watch: Watch
) -> None:
    watch.exclusive = True
    capture(msgspec.structs.replace(settings, arms="in turn"), [SUITE], tmp_path)
    assert watch.most == 3


def test_a_target_that_holds_its_device_is_noticed_too(
    settings: Settings, tmp_path: Path, watch: Watch
) -> None:
    watch.exclusive = True
    plain = msgspec.structs.replace(settings, candidate="native:gamma=3")
    capture(plain, [SUITE], tmp_path)
    assert watch.most == 1
    assert read_evidence(tmp_path).header.order == "one at a time"


@pytest.mark.parametrize(("left", "opened"), [(4, [C, T, K, C]), (15, [T, K, C]), (29, [K, C])])
def test_a_run_is_gone_on_with_between_arms(
    settings: Settings, tmp_path: Path, watch: Watch, left: int, opened: list[str]
) -> None:
    """10 of the candidate with one to warm up, 3 shuffled with company of 2, then the target."""
    watch.exclusive, watch.left = True, left
    with pytest.raises(KeyboardInterrupt):
        capture(settings, [SUITE], tmp_path)
    assert watch.open == []
    watch.forget()
    verdict = run(settings, [SUITE], tmp_path, resume=True)
    assert watch.opened == opened
    assert watch.most == 1
    assert verdict.outcome is Outcome.PASS, verdict.headline


def test_a_run_that_is_complete_opens_nothing(
    settings: Settings, tmp_path: Path, watch: Watch
) -> None:
    capture(settings, [SUITE], tmp_path)
    before = (tmp_path / RECORDS_NAME).read_bytes()
    watch.forget()
    capture(settings, [SUITE], tmp_path, resume=True)
    assert watch.opened == []
    assert (tmp_path / RECORDS_NAME).read_bytes() == before


@pytest.mark.parametrize("exclusive", [False, True])
def test_another_engine_than_before_is_refused(
    settings: Settings, tmp_path: Path, watch: Watch, exclusive: bool
) -> None:
    watch.exclusive, watch.left = exclusive, 5
    with pytest.raises(KeyboardInterrupt):
        capture(settings, [SUITE], tmp_path)
    watch.forget()
    watch.of = {"library": "2"}
    with pytest.raises(OtherRunError, match=r"has another engine: arms\.\w+\.versions is None th"):
        capture(settings, [SUITE], tmp_path, resume=True)


def test_an_arm_with_nothing_to_answer_is_not_opened(
    settings: Settings, tmp_path: Path, watch: Watch
) -> None:
    sampled = tuple(case for case in SUITE.cases if not case.sampling.greedy)
    suite = msgspec.structs.replace(SUITE, cases=sampled, lines=tuple(range(len(sampled))))
    run(settings, [suite], tmp_path)
    assert K not in watch.opened
    assert read_evidence(tmp_path).header.arms[CONTROL].notes == ("not opened",)


@pytest.mark.parametrize("evidence", ["scores", "tokens"])
def test_draws_one_at_a_time(
    settings: Settings, tmp_path: Path, watch: Watch, evidence: str
) -> None:
    drawing = msgspec.structs.replace(
        settings,
        candidate="watched:gamma=3,rule=rejection",
        sampled_tokens=300,
        sampled_batch=4,
        law_evidence=evidence,
    )
    capture(drawing, [drawn_suite()], tmp_path / "in-turn")
    watch.forget()
    watch.exclusive = True
    capture(drawing, [drawn_suite()], tmp_path / "alone")
    assert watch.most == 1
    alone, in_turn = read_evidence(tmp_path / "alone"), read_evidence(tmp_path / "in-turn")
    assert alone.draws == in_turn.draws
    assert alone.header.arms[SAMPLED].num_speculative_tokens == 3


def test_isolated_arms_say_the_same(setup: EngineSetup, tmp_path: Path) -> None:
    here = Settings(setup=setup, candidate="native:gamma=3")
    there = Settings(
        setup=setup,
        target="isolated:native:gamma=0",
        candidate="mine:gamma=3",
        control=f"isolated:{NATIVE_CONTROL}",
        arms="one at a time",
        engine={"mine": EngineTable(engine="native", isolated=True, open_seconds=300)},
    )
    assert run(here, [SUITE], tmp_path / "here").outcome is Outcome.PASS
    verdict = run(there, [SUITE], tmp_path / "there")
    assert verdict.outcome is Outcome.PASS, verdict.headline
    one, other = read_evidence(tmp_path / "here"), read_evidence(tmp_path / "there")
    assert answers(one) == answers(other)
    for arm in (TARGET, CANDIDATE, CONTROL):
        told = other.header.arms[arm]
        assert told.notes[-1] == "in a process of its own"
        assert msgspec.structs.replace(told, notes=()) == msgspec.structs.replace(
            one.header.arms[arm], notes=()
        )
        assert (tmp_path / "there" / "logs" / f"{arm}.log").is_file()
