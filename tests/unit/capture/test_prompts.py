"""Prompts that hang on answers: each arm's own, made as answers come, kept in resumed runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from equivcheck.capture.fit import refuse_too_long
from equivcheck.capture.logbook import Logbook
from equivcheck.capture.plan import Plan, make_plan, shuffle, warm_up, with_stored_prompts
from equivcheck.capture.prompts import Answers
from equivcheck.capture.served import served
from equivcheck.core.cases import Case, Sampling, SharedPrefix
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError, SuiteError
from equivcheck.core.generation import Generation, Prompt, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, CONTROL, SHUFFLED, TARGET, Evidence
from equivcheck.records.records_file import RecordsWriter, read_evidence
from tests.unit.make import make_capabilities, make_generation, make_header, suite_of

SETTINGS = Settings(setup=EngineSetup(batch_size=2), probe_every=3)


def case(id: str, *ids: int, **fields: object) -> Case:
    return Case(id=id, token_ids=ids, max_new_tokens=4, **fields)  # type: ignore[arg-type]


CASES = (
    case("a.1", 1, 2, session="a"),
    case("b.1", 3, session="b"),
    case("a.2", 4, session="a"),
    case("b.2", 5, session="b", sampling=Sampling(temperature=1.0)),
    case("a.3", 6, session="a"),
    case("p", 7, shares_prefix_with=SharedPrefix(id="a.1", tokens=1), after="a.2"),
)
LATER = ("s/a.2", "s/b.2", "s/a.3")


def follow(turns: Sequence[Case], answers: Answers) -> Prompt:
    ids = turns[0].token_ids or ()
    for answer, turn in zip(answers, turns[1:], strict=True):
        ids = (*ids, *answer, *(turn.token_ids or ()))
    return Prompt(ids)


def plan_of(*cases: Case) -> Plan:
    return make_plan(
        SETTINGS,
        [suite_of(cases or CASES, workload="s")],
        encode=lambda case: case.token_ids or (),
        follow=follow,
    )


class Echo:
    """Answers with an id of its own and the length of the prompt, or fails on a key."""

    def __init__(self, own: int, *, fails: str = "") -> None:
        self.own, self.fails = own, fails
        self.asked: dict[str, tuple[int, ...]] = {}
        self.batches: list[list[str]] = []

    @property
    def capabilities(self) -> Capabilities:
        return make_capabilities(identity="x")

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.batches.append([request.key for request in requests])
        for request in requests:
            self.asked[request.key] = request.prompt_ids
            if request.key == self.fails:
                raise EngineError("broke")
            length = len(request.prompt_ids)
            yield make_generation((self.own, length), key=request.key, prompt_tokens=length)

    def close(self) -> None:
        """Nothing to close."""


def run(path: Path, plan: Plan, engines: dict[str, Echo], *, arms: Sequence[str] = ()) -> Evidence:
    header = make_header(
        arms=dict.fromkeys(plan.planned, make_capabilities()),
        planned=plan.planned,
        settings=SETTINGS,
    )
    writer, evidence = RecordsWriter.resume(path, header)
    plan = with_stored_prompts(plan, evidence.asked)
    with writer:
        book = Logbook(plan, evidence, writer=writer, detokenise=str, progress=None)
        for chunk in plan.chunks:
            for arm in arms or engines:
                book.put(engines[arm], chunk, arm=arm)
        for chunk in shuffle(plan, wanted=book.missing(SHUFFLED), seed=0, company=1):
            book.ask(engines[CANDIDATE], chunk, arm=SHUFFLED)
    return read_evidence(path)


def test_each_arm_gets_its_own_answers_and_no_chunk_holds_two_waves(tmp_path: Path) -> None:
    target, candidate = Echo(8), Echo(8)
    evidence = run(tmp_path / "r.jsonl", plan_of(), {TARGET: target, CANDIDATE: candidate})
    assert target.asked == candidate.asked
    assert target.asked["s/a.3"] == (1, 2, 8, 2, 4, 8, 5, 6)
    assert target.asked["s/p"] == (1, 7)
    assert ["s/a.2"] in target.batches
    assert all(len({key[-1] for key in batch}) == 1 for batch in target.batches)
    assert not evidence.other_history
    assert evidence.asked["s/a.3"].request.prompt_ids == target.asked["s/a.3"]
    assert evidence.captured[CANDIDATE]["s/a.3"].prompt_ids == target.asked["s/a.3"]
    assert evidence.captured[CANDIDATE]["s/a.1"].prompt_ids is None


def test_answers_behind_another_history_are_kept_apart(tmp_path: Path) -> None:
    engines = {TARGET: Echo(8), CANDIDATE: Echo(9)}
    evidence = run(tmp_path / "r.jsonl", plan_of(), engines)
    assert set(evidence.other_history[CANDIDATE]) == set(LATER)
    assert set(evidence.captured[CANDIDATE]) == {"s/a.1", "s/b.1", "s/p"}
    assert set(evidence.answers(CANDIDATE)) == set(evidence.captured[TARGET])
    # The target's prompt counts, whoever was asked first.
    assert evidence.asked["s/b.2"].request.prompt_ids == (3, 8, 1, 5)
    assert engines[CANDIDATE].asked["s/b.2"] == (3, 9, 1, 5)


def test_a_turn_behind_a_missing_answer_is_not_asked(tmp_path: Path) -> None:
    engines = {TARGET: Echo(8), CANDIDATE: Echo(8, fails="s/a.1")}
    evidence = run(tmp_path / "r.jsonl", plan_of(), engines)
    told = {each.key: each.message for each in evidence.failures if each.arm == CANDIDATE}
    assert told["s/a.3"] == "not asked: its session has no answer to s/a.1"
    assert set(evidence.captured[CANDIDATE]) == {"s/b.1", "s/b.2", "s/p"}


def test_a_resumed_run_goes_on_behind_the_stored_answers(tmp_path: Path) -> None:
    path, plan = tmp_path / "r.jsonl", plan_of()
    first = {TARGET: Echo(8), CANDIDATE: Echo(8)}
    whole = run(tmp_path / "whole.jsonl", plan, first)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    for cut in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:cut]))
        resumed = run(path, plan, {TARGET: Echo(8), CANDIDATE: Echo(8)})
        assert resumed.asked == whole.asked
        assert not resumed.other_history
        for arm in (TARGET, CANDIDATE):
            assert resumed.captured[arm] == whole.captured[arm]
        path.unlink()


def test_what_was_asked_behind_the_same_answers_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    run(path, plan_of(), {TARGET: Echo(8), CANDIDATE: Echo(8)}, arms=[TARGET])

    def later(turns: Sequence[Case], answers: Answers) -> Prompt:
        return Prompt((99, *follow(turns, answers).ids))

    # As of a chat template that writes the date.
    plan = make_plan(
        SETTINGS,
        [suite_of(CASES, workload="s")],
        encode=lambda each: each.token_ids or (),
        follow=later,
    )
    evidence = run(path, plan, {TARGET: Echo(8), CANDIDATE: Echo(8)})
    assert not evidence.other_history


def test_whole_sessions_are_asked_again_and_shuffled_by_wave() -> None:
    plan = plan_of()
    assert plan.planned[SHUFFLED] == ("s/a.1", "s/a.2", "s/a.3")
    assert plan.planned[CONTROL] == ("s/a.1", "s/b.1", "s/a.2", "s/a.3", "s/p")
    chunks = shuffle(plan, wanted=set(plan.planned[SHUFFLED]), seed=0, company=4)
    assert [{each.key for each in chunk} for chunk in chunks] == [
        {"s/a.1", "s/b.1"},
        {"s/a.2"},
        {"s/a.3"},
    ]


def test_no_later_turn_warms_up() -> None:
    plan = plan_of(case("a.1", 1, 2, session="a"), case("a.2", 1, session="a"))
    assert warm_up(plan)[0].key == "s/a.1"


def test_a_prefix_longer_than_the_prompt_is_refused() -> None:
    long = case("p", 7, shares_prefix_with=SharedPrefix(id="a.1", tokens=3))
    with pytest.raises(SuiteError, match=r"s\.jsonl:3: shares_prefix_with\.tokens: 3, but the pro"):
        plan_of(CASES[0], long)


def test_answers_to_come_count_towards_the_context() -> None:
    asked = plan_of().asked
    refuse_too_long(asked, context=16)
    with pytest.raises(SettingsError, match=r"the largest \(s/a\.3\) 16; say --set setup\.context"):
        refuse_too_long(asked, context=15)


def test_turns_behind_one_that_is_refused_are_left_out_too() -> None:
    cold = make_capabilities(refuses=("stop",))
    plan = plan_of(
        case("a.1", 1, session="a", stop=("x",)),
        case("a.2", 2, session="a"),
        case("b", 3),
    )
    left = served(plan, {CANDIDATE: cold}, batch_size=2)
    assert [each.key for each in left.left_out] == ["s/a.1", "s/a.2"]
    assert [each.request.key for each in left.asked] == ["s/b"]
