"""What failing checks say their cases and places have in common, from whole records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from equivcheck.checks import diagnosis
from equivcheck.checks.diagnosis import Diagnosis, diagnoses
from equivcheck.checks.verdict import judge
from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.asking_order import mixed_up
from equivcheck.records.records import CANDIDATE, REPEAT, SHUFFLED, TARGET, Evidence
from equivcheck.report.common import failing_words
from tests.unit.make import (
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)

CASES, TOKENS = 24, 30
ALL = range(CASES)
BLOCKS = ((4, 4), (4, 1), (4, 0), (4, 2), (4, 4), (4, 3), (4, 1))
"""Steps of every answer: 22 tokens, and a step of plain ones each for the rest."""
PENALTY = Sampling(repetition_penalty=1.5)
ARMS = {
    TARGET: make_capabilities(identity="fixed", reports_steps=True),
    **dict.fromkeys(
        (CANDIDATE, SHUFFLED, REPEAT),
        make_capabilities(
            engine="native:gamma=4",
            identity="fixed",
            reports_steps=True,
            num_speculative_tokens=4,
            batch_size=4,
        ),
    ),
}


def key(number: int) -> str:
    return f"{'ab'[number % 2]}/c{number}"


def answer(number: int, *, parts_at: int | None = None, **fields: Any) -> Generation:
    steps = make_steps(*BLOCKS, *[(0, 0)] * (TOKENS - 22)) if fields.pop("drafts", True) else ()
    other = [] if parts_at is None else [99] * (TOKENS - parts_at)
    return make_generation(
        [10 + at for at in range(TOKENS - len(other))] + other,
        key=key(number),
        prompt_tokens=5 + number,
        steps=steps or make_steps(*[(0, 0)] * TOKENS),
        **fields,
    )


def run(
    candidate: Sequence[Generation],
    arms: Mapping[str, Sequence[Generation]] | None = None,
    *,
    batch_size: int = 8,
) -> Evidence:
    requests = [
        make_request(
            key(number),
            prompt_ids=tuple(range(5 + number)),
            max_new_tokens=TOKENS,
            sampling=PENALTY if number < 6 else Sampling(),
        )
        for number in range(CASES)
    ]
    answers = {
        TARGET: [answer(number, drafts=False) for number in range(CASES)],
        CANDIDATE: candidate,
    } | dict(arms or {})
    return make_evidence(
        answers,
        requests=requests,
        arms={arm: ARMS[arm] for arm in answers},
        settings=Settings(setup=EngineSetup(batch_size=batch_size), seed=0),
        vocab_size=1000,
    )


def told(evidence: Evidence, check: str) -> Diagnosis:
    found = diagnoses(evidence, judge(evidence).findings)
    return next(each for each in found if each.check == check)


def test_a_bonus_slot_is_told() -> None:
    evidence = run(
        [answer(number, parts_at=(4, 15)[number % 2] if number % 3 else None) for number in ALL]
    )
    found = told(evidence, "greedy")
    assert (found.failing, found.cases) == (16, 24)
    assert found.lines[0] == "the bonus token: 16 of 16 failing places, 32 of 704 others"


def test_a_position_in_the_sequence_is_told_and_not_one_in_the_output() -> None:
    evidence = run(
        [answer(number, parts_at=27 - number if number in range(2, 20) else None) for number in ALL]
    )
    assert told(evidence, "greedy").lines[0].startswith("sequence position 32: 18 of 18")


def test_a_parameter_that_only_failing_cases_have_is_told() -> None:
    evidence = run([answer(number, parts_at=7 + number if number < 6 else None) for number in ALL])
    (line,) = told(evidence, "greedy").lines
    assert line == "repetition_penalty 1.5: 6 of 6 failing cases, 0 of 18 passing"


def test_under_a_contract_the_first_other_logits_are_the_place() -> None:
    digests = tuple(range(TOKENS))
    late = tuple(at if at < 19 else -at for at in range(TOKENS))
    evidence = run(
        [
            answer(number, parts_at=25, logit_digests=late)
            if number % 2
            else answer(number, logit_digests=digests)
            for number in ALL
        ],
        {TARGET: [answer(number, drafts=False, logit_digests=digests) for number in ALL]},
    )
    lines = told(evidence, "greedy").lines
    assert lines[0].startswith("output token 19: 12 of 12 failing places")


def test_a_workload_is_told_by_batching() -> None:
    again = [answer(number, parts_at=9 if number % 2 else None) for number in ALL]
    found = told(run([answer(number) for number in ALL], {SHUFFLED: again}), "batching")
    assert found.failing == 12
    assert any(line.startswith("workload b: 12 of 12") for line in found.lines)


def test_one_failure_is_no_pattern_and_a_sound_run_has_none() -> None:
    sound = [answer(number) for number in ALL]
    assert diagnoses(run(sound), judge(run(sound)).findings) == ()
    one = run([answer(0, parts_at=3), *sound[1:]])
    assert [each.check for each in diagnoses(one, judge(one).findings)] == []


def test_an_answer_that_ends_early_failed_at_its_last_token() -> None:
    short = [
        make_generation(
            [10 + at for at in range(4)],
            key=key(number),
            prompt_tokens=5 + number,
            steps=make_steps((4, 3)),
        )
        for number in range(8)
    ]
    evidence = run([*short, *(answer(number) for number in range(8, CASES))])
    assert told(evidence, "greedy").failing == 8
    assert told(evidence, "stopping").failing == 8


def test_the_first_step_after_a_refill_is_told() -> None:
    """All answers take as many steps, so rows are refilled in the order of asking."""
    queue = mixed_up([key(number) for number in ALL], (), seed=0, company=2)
    numbers = [int(each.partition("/c")[2]) for each in queue]
    again = [
        answer(number, parts_at=place % 5 if place >= 4 else None)
        for place, number in enumerate(numbers)
    ]
    sound = [answer(number) for number in ALL]
    evidence = run(sound, {SHUFFLED: again}, batch_size=4)
    found = told(evidence, "batching")
    assert found.failing == 20
    assert found.lines == (
        "in the first verify step: 20 of 20 failing places, 100 of 700 others",
        "in a refilled row: 20 of 20 failing cases, 0 of 4 passing",
    )


def test_of_a_large_run_a_part_is_looked_at_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "MOST_PLACES", CASES * TOKENS // 2)
    evidence = run([answer(number, parts_at=15 if number % 3 else None) for number in ALL])
    found = told(evidence, "greedy")
    assert (found.failing, found.cases, found.looked) == (16, 24, 10)
    assert found.lines[0] == "output token 15: 6 of 6 failing places, 4 of 294 others"
    assert failing_words(found) == "greedy, 16 of 24 cases, 10 of them looked at"
