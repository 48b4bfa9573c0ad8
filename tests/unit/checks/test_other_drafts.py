"""Draws that part behind other drafts are chance; draws that part behind the same ones are not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.checks import batching
from equivcheck.checks.judged import OTHER_DRAFTS, judged_of
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation, Step
from equivcheck.records.records import CANDIDATE, SHUFFLED, TARGET, Evidence
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_request

HOT = Sampling(temperature=1.0)
FIRST = Step(drafted=2, accepted=2, emitted=3, drafts=(10, 11), draft_logprobs=(-1.0, -2.0))
SECOND = Step(drafted=2, accepted=0, emitted=1, drafts=(20, 21), draft_logprobs=(-3.0,))


def answer(last: int, *steps: Step) -> Generation:
    return make_generation((10, 11, 12, last), steps=steps or (FIRST, SECOND))


def run(again: Generation, *, sampling: Sampling = HOT, **told: Any) -> Evidence:
    given = {"identity": "fixed-shape", "rule": "rejection", "num_speculative_tokens": 2} | told
    arms = dict.fromkeys((TARGET, CANDIDATE, SHUFFLED), make_capabilities(**given))
    once = answer(13)
    return make_evidence(
        {TARGET: [once], CANDIDATE: [once], SHUFFLED: [again]},
        arms=arms,
        requests=[make_request(sampling=sampling)],
    )


def changed(**fields: Any) -> Generation:
    return answer(77, FIRST, msgspec.structs.replace(SECOND, **fields))


OTHERS = {
    "another draft": changed(drafts=(22, 21)),
    "another q": changed(draft_logprobs=(-3.5,)),
    "fewer drafts": changed(drafted=1, drafts=(20,)),
    "not told": changed(drafts=None),
    "an earlier step": answer(77, msgspec.structs.replace(FIRST, drafts=(10, 99)), SECOND),
}


@pytest.mark.parametrize("again", OTHERS.values(), ids=OTHERS)
def test_other_drafts_give_other_tokens(again: Generation) -> None:
    evidence = run(again)
    assert batching.check(evidence) == []
    (counted,) = (each for each in judged_of(evidence) if each.check == "batching")
    assert (counted.judged, counted.not_judged) == (0, {OTHER_DRAFTS: 1})


def test_the_same_drafts_have_to_give_the_same_token() -> None:
    unjudged = changed(drafts=(20, 99))
    for again in (answer(77), unjudged, changed(accepted=1)):
        case, summary = batching.check(run(again))
        assert (case.outcome, case.reason) == (Outcome.FAIL, Reason.BATCH_DEPENDENT)
        assert summary.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "told", [{"rule": "coupled"}, {"sampling": Sampling()}, {"num_speculative_tokens": 0}]
)
def test_drafts_excuse_nothing_where_tokens_do_not_depend_on_them(told: dict[str, Any]) -> None:
    case, _ = batching.check(run(OTHERS["another draft"], **told))
    assert case.outcome is Outcome.FAIL


def test_what_parts_behind_the_tokens_excuses_nothing() -> None:
    early = make_generation((10, 11, 77, 13), steps=(FIRST, OTHERS["another draft"].steps[1]))
    case, _ = batching.check(run(early))
    assert case.outcome is Outcome.FAIL
