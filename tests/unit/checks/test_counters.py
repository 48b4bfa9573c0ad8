from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.checks.counters import check, faults_of
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Step
from equivcheck.records.records import CANDIDATE, TARGET
from tests.unit.make import (
    make_capabilities,
    make_drawn,
    make_evidence,
    make_generation,
    make_steps,
)

SPECULATIVE = make_capabilities(num_speculative_tokens=4, reports_steps=True)
BLOCKS = st.lists(
    st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1
)


@given(blocks=BLOCKS, cut=st.integers(0, 4))
def test_true_counters_hold_also_with_the_last_step_cut(
    blocks: list[tuple[int, int]], cut: int
) -> None:
    *steps, last = make_steps(*blocks)
    emitted = max(1, last.emitted - cut)
    steps.append(Step(drafted=last.drafted, accepted=last.accepted, emitted=emitted))
    answer = make_generation(range(sum(step.emitted for step in steps)), steps=tuple(steps))
    assert list(faults_of(answer, SPECULATIVE)) == []


@given(blocks=BLOCKS, data=st.data())
def test_any_one_changed_counter_that_breaks_a_sum_is_seen(
    blocks: list[tuple[int, int]], data: st.DataObject
) -> None:
    steps = list(make_steps(*blocks))
    tokens = range(sum(step.emitted for step in steps))
    index = data.draw(st.integers(0, len(steps) - 1))
    change = data.draw(st.integers(-3, 3).filter(bool))
    step = steps[index]
    steps[index] = Step(drafted=step.drafted, accepted=step.accepted, emitted=step.emitted + change)
    assert list(faults_of(make_generation(tokens, steps=tuple(steps)), SPECULATIVE))


BROKEN = {
    "none": ((), 4, "reports steps, but gave none for 4 tokens"),
    "accepted-more": (((2, 3),), 4, "step 0: accepted 3 of 2 drafted"),
    "negative": (((2, -1, 1),), 1, "step 0: accepted -1 of 2 drafted"),
    "drafted-more": (((5, 3),), 4, "step 0: drafted 5, at most 4 announced"),
    "emitted-more": (((2, 1, 3),), 3, "step 0: emitted 3 with 1 accepted"),
    "emitted-none": (((2, 1), (2, 1, 0)), 2, "step 1: emitted 0 with 1 accepted"),
    "cut-early": (
        ((2, 2, 2), (2, 1)),
        4,
        "step 0: emitted 2 of 3, though only the last step may be cut",
    ),
    "sum": (((2, 1),), 4, "steps emitted 2 tokens, the output has 4"),
}


@pytest.mark.parametrize(("blocks", "length", "what"), BROKEN.values(), ids=BROKEN)
def test_broken_identities(blocks: tuple[tuple[int, ...], ...], length: int, what: str) -> None:
    answer = make_generation(range(length), steps=make_steps(*blocks))
    assert what in list(faults_of(answer, SPECULATIVE))


MISJUDGED = {
    "too-many": (
        (Step(drafted=3, accepted=2, emitted=2, drafts=(0, 9, 2)),),
        "step 0: accepted 2 of 3 drafted, but 1 of the drafts begins what was emitted",
    ),
    "too-many-of-all": (
        (Step(drafted=1, accepted=1, emitted=1, drafts=(9,)),),
        "step 0: accepted 1 of 1 drafted, but 0 of the drafts begin what was emitted",
    ),
    "too-few": (
        (Step(drafted=3, accepted=2, emitted=3, drafts=(0, 9, 2)),),
        "step 0: accepted 2 of 3 drafted, but 1 of the drafts begins what was emitted",
    ),
    "second-step": (
        (
            Step(drafted=1, accepted=1, emitted=2, drafts=(0,)),
            Step(drafted=2, accepted=1, emitted=2, drafts=(3, 2)),
        ),
        "step 1: accepted 1 of 2 drafted, but 0 of the drafts begin what was emitted",
    ),
    "unnamed": (
        (Step(drafted=2, accepted=0, emitted=1, drafts=(5,)),),
        "step 0: names 1 draft of 2",
    ),
}


@pytest.mark.parametrize(("steps", "what"), MISJUDGED.values(), ids=MISJUDGED)
def test_accepted_is_what_the_drafts_say(steps: tuple[Step, ...], what: str) -> None:
    answer = make_generation(range(sum(step.emitted for step in steps)), steps=steps)
    assert list(faults_of(answer, SPECULATIVE)) == [what]


def test_a_rejected_draft_may_be_replaced_by_itself() -> None:
    """A decoder that accepts less than it could is slower, and lossless."""
    steps = (Step(drafted=2, accepted=1, emitted=2, drafts=(0, 1)),)
    assert list(faults_of(make_generation(range(2), steps=steps), SPECULATIVE)) == []
    fewer = (Step(drafted=3, accepted=0, emitted=1, drafts=(0, 1, 2)), *make_steps((0, 0)))
    assert list(faults_of(make_generation(range(2), steps=fewer), SPECULATIVE)) == []
    more = (Step(drafted=2, accepted=2, emitted=2, drafts=(0, 9)),)
    assert list(faults_of(make_generation(range(2), steps=more), SPECULATIVE))


@given(
    drafts=st.lists(st.integers(0, 2), max_size=4),
    own=st.lists(st.integers(0, 2), min_size=5, max_size=5),
    cut=st.integers(0, 4),
    counts_behind=st.booleans(),
)
def test_drafts_that_are_told_bear_a_sound_engine_out(
    drafts: list[int], own: list[int], cut: int, counts_behind: bool
) -> None:
    """Whether it counts what it accepted behind a cut or not."""
    pairs = zip(drafts, own, strict=False)
    alike = next((at for at, (one, other) in enumerate(pairs) if one != other), len(drafts))
    block = own[: alike + 1]
    emitted = block[: max(1, len(block) - cut)]
    accepted = alike if counts_behind else min(alike, len(emitted))
    step = Step(drafted=len(drafts), accepted=accepted, emitted=len(emitted), drafts=tuple(drafts))
    assert list(faults_of(make_generation(emitted, steps=(step,)), SPECULATIVE)) == []
    told = make_capabilities(num_speculative_tokens=4, reports_steps=True, reports_rejected=True)
    if accepted == alike:
        assert list(faults_of(make_generation(emitted, steps=(step,)), told)) == []


def test_a_plain_arm_must_not_draft() -> None:
    answer = make_generation(range(2), steps=make_steps((1, 1)))
    assert list(faults_of(answer, make_capabilities())) == [
        "step 0: drafted 1, at most 0 announced"
    ]


def test_findings_by_case_and_workload() -> None:
    good = make_generation(range(4), key="code/a", steps=make_steps((2, 1), (2, 1)))
    bad = make_generation(range(4), key="code/b", steps=make_steps((2, 3), (2, 0)))
    evidence = make_evidence(
        {CANDIDATE: [good, bad], TARGET: [make_generation(range(4), key="code/a")]},
        arms={CANDIDATE: SPECULATIVE, TARGET: make_capabilities()},
    )
    case, summary = check(evidence)
    assert (case.subject, case.outcome, case.reason) == ("code/b", Outcome.FAIL, Reason.COUNTERS)
    assert case.headline == "candidate: step 0: accepted 3 of 2 drafted"
    assert len(case.details) == 2
    assert summary.headline == "counters contradict the output on 1 case"


def test_arms_without_steps_are_left_out() -> None:
    silent = {TARGET: [make_generation()], CANDIDATE: [make_generation()]}
    assert check(make_evidence(silent)) == []
    held = {CANDIDATE: [make_generation(range(2), steps=make_steps((2, 1)))]}
    (summary,) = check(make_evidence(held))
    assert (summary.outcome, summary.headline) == (
        Outcome.PASS,
        "counters add up on 1 output (1 step)",
    )


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (
            Step(drafted=2, accepted=1, emitted=2),
            "step 0: names no draft as rejected, accepted 1 of 2",
        ),
        (
            Step(drafted=2, accepted=2, emitted=3, rejected=7),
            "step 0: names draft token 7 as rejected, accepted 2 of 2",
        ),
    ],
)
def test_a_trace_names_the_rejected_draft_and_no_other(step: Step, what: str) -> None:
    tracing = make_capabilities(num_speculative_tokens=4, reports_steps=True, reports_rejected=True)
    answer = make_generation(range(step.emitted), steps=(step,))
    assert list(faults_of(answer, SPECULATIVE)) == []
    assert list(faults_of(answer, tracing)) == [what]


def test_draws_are_held_to_their_counters_too() -> None:
    evidence = make_drawn(
        make_generation(range(3), key="code/one#1", steps=make_steps((2, 2))),
        make_generation(range(3), key="code/one#2", steps=make_steps((2, 1))),
        make_generation(range(3), key="code/one#3", steps=make_steps((2, 1))),
        told=SPECULATIVE,
    )
    broken, workload = check(evidence)
    assert (broken.subject, broken.headline) == (
        "code/one",
        "sampled: steps emitted 2 tokens, the output has 3",
    )
    assert broken.details == ("in code/one#2",)
    assert (workload.outcome, workload.n) == (Outcome.FAIL, 3)
