"""Engines that tell totals a request and no steps: judged as far as that goes, and no further."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.checks import acceptance, counters, engaged
from equivcheck.checks.counters import faults_of
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.generation import Counts, DraftCounts
from equivcheck.core.settings import Settings, WorkloadLimits
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from tests.unit.make import (
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)

TOLD = make_capabilities(num_speculative_tokens=4, reports_counts=True)
TOTALS = DraftCounts(drafted=40, accepted=10)
BY_SLOT = DraftCounts(drafted=40, accepted=10, steps=10, accepted_by_slot=(5, 3, 1, 1))


def make_run(*counts: DraftCounts | None, sampled: bool = False, **fields: Any) -> Evidence:
    answers = [
        make_generation(range(20), key=f"code/{n}", counts=each) for n, each in enumerate(counts)
    ]
    requests = [
        make_request(
            each.key,
            max_new_tokens=20,
            sampling=Sampling(temperature=1.0 if sampled and n else 0.0),
        )
        for n, each in enumerate(answers)
    ]
    return make_evidence({CANDIDATE: answers}, arms={CANDIDATE: TOLD}, requests=requests, **fields)


def of_run(evidence: Evidence) -> Finding:
    return next(each for each in engaged.check(evidence) if each.subject == "run")


def test_totals_say_that_drafts_were_accepted_and_rejected() -> None:
    finding = of_run(make_run(TOTALS, TOTALS))
    assert finding.outcome is Outcome.PASS
    assert finding.headline == "speculation ran: 20 of 80 draft tokens accepted"
    assert finding.details == (
        "not judged, as the engine tells counts and no steps: which draft slots were used, and "
        "whether a step accepted all of its drafts",
    )


def test_counts_by_slot_say_that_all_of_a_block_were_accepted() -> None:
    finding = of_run(make_run(BY_SLOT))
    assert finding.outcome is Outcome.PASS
    assert finding.details[0] == "slots with accepted drafts: 0, 1, 2, 3"
    short = DraftCounts(drafted=40, accepted=9, accepted_by_slot=(5, 3, 1))
    finding = of_run(make_run(short))
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.headline.endswith("no draft in slot 3, the last, was ever accepted")
    assert of_run(make_run(short, BY_SLOT)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        (None, "no verify steps were reported, and no counts of drafts"),
        (DraftCounts(drafted=0, accepted=0), "nothing was drafted"),
        (DraftCounts(drafted=40, accepted=0), "no draft token was ever accepted"),
        (DraftCounts(drafted=9, accepted=9), "no draft token was ever rejected"),
    ],
)
def test_a_vacuous_pass_is_inconclusive(counts: DraftCounts | None, what: str) -> None:
    for finding in engaged.check(make_run(counts)):
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert what in finding.headline


def test_an_idle_kind_of_request_is_seen() -> None:
    finding = of_run(make_run(TOTALS, DraftCounts(drafted=0, accepted=0), sampled=True))
    assert finding.headline.endswith("nothing was drafted for sampled prompts")
    finding = of_run(make_run(*[TOTALS, DraftCounts(drafted=90, accepted=0)] * 2, sampled=True))
    assert finding.outcome is Outcome.PASS
    idle = [TOTALS, *[DraftCounts(drafted=60, accepted=0)] * 4]
    finding = of_run(make_run(*idle, sampled=True))
    assert finding.headline.endswith("none of 240 drafts for sampled prompts was accepted")


def test_an_answer_that_tells_nothing_is_said_to_be_left_out() -> None:
    assert of_run(make_run(TOTALS, None)).details[0] == (
        "not judged: 1 of 2 answers, which tell no drafts"
    )


def test_a_plain_arm_that_counts_drafts_is_no_plain_decoding() -> None:
    answer = make_generation(range(20), counts=TOTALS)
    (finding,) = engaged.check(make_evidence({TARGET: [answer]}))
    assert "it drafts itself, 40 draft tokens" in finding.headline


IMPOSSIBLE = {
    "accepted": (DraftCounts(drafted=4, accepted=5), "accepted 5 of 4 drafted"),
    "none-promised": (None, "reports counts, but gave none for 20 tokens"),
    "tokens": (
        DraftCounts(drafted=60, accepted=20, steps=15),
        "20 drafts accepted in 15 steps give 35 tokens at least, 4 of them cut at most; the output "
        "has 20",
    ),
    "tokens-alone": (
        DraftCounts(drafted=60, accepted=24),
        "24 drafts accepted give 25 tokens at least, 4 of them cut at most; the output has 20",
    ),
    "steps": (DraftCounts(drafted=41, accepted=3, steps=10), "drafted 41 in 10 steps of 4 drafts"),
    "sum": (
        DraftCounts(drafted=40, accepted=11, accepted_by_slot=(5, 3, 1, 1)),
        "accepted 11, by slot 10",
    ),
    "rising": (
        DraftCounts(drafted=40, accepted=10, accepted_by_slot=(3, 5, 2)),
        "a later slot accepted more than an earlier one: 3, 5, 2",
    ),
    "too-late": (
        DraftCounts(drafted=40, accepted=5, accepted_by_slot=(1, 1, 1, 1, 1)),
        "slot 4 accepted drafts, at most 4 a step announced",
    ),
    "slot-0": (
        DraftCounts(drafted=8, accepted=3, steps=2, accepted_by_slot=(3,)),
        "slot 0 accepted 3 drafts in 2 steps",
    ),
}


@pytest.mark.parametrize(("counts", "what"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_totals_are_seen(counts: DraftCounts | None, what: str) -> None:
    (fault,) = faults_of(make_generation(range(20), counts=counts), TOLD)
    assert fault.startswith(what)


def test_a_plain_arm_must_not_count_drafts() -> None:
    answer = make_generation(range(20), counts=DraftCounts(drafted=3, accepted=1))
    assert list(faults_of(answer, make_capabilities())) == ["drafted 3, none announced"]


@given(
    blocks=st.lists(
        st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1
    ),
    cut=st.integers(0, 4),
    first_free=st.booleans(),
    only_drafting=st.booleans(),
    by_slot=st.booleans(),
)
def test_no_sound_engine_is_accused(
    blocks: list[tuple[int, int]], cut: int, first_free: bool, only_drafting: bool, by_slot: bool
) -> None:
    """Whatever it counts as a step, and whether it counts what lies behind a cut."""
    tokens = sum(accepted + 1 for _, accepted in blocks) - min(cut, blocks[-1][1]) + first_free
    told = make_generation(steps=make_steps(*blocks)).totals
    assert told is not None
    drafting = sum(drafted > 0 for drafted, _ in blocks)
    counts = DraftCounts(
        drafted=told.drafted,
        accepted=told.accepted,
        steps=drafting if only_drafting else len(blocks) + first_free,
        accepted_by_slot=told.accepted_by_slot if by_slot else (),
    )
    assert list(faults_of(make_generation(range(tokens), counts=counts), TOLD)) == []


def test_outputs_of_which_totals_are_told_are_named_as_such() -> None:
    (finding,) = counters.check(make_run(TOTALS, BY_SLOT))
    assert finding.outcome is Outcome.PASS
    assert finding.details == ("not judged step by step: 2 outputs of which totals are told",)


def test_limits_on_acceptance_hold_for_totals_too() -> None:
    totals = [DraftCounts(drafted=40, accepted=accepted) for accepted in (9, 10, 11) * 4]
    limits = Settings(workload={"code": WorkloadLimits(min_acceptance=0.3)})
    evidence = make_run(*totals, settings=limits)
    assert acceptance.counts_by_workload(evidence)["code"]["code/0"] == Counts(
        drafted=40, accepted=9
    )
    (finding,) = acceptance.check(evidence)
    assert (finding.outcome, finding.estimate) == (Outcome.FAIL, 0.25)
