"""One fault in any arm and population is caught, or its output is counted as not judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from equivcheck.checks import CHECKS
from equivcheck.checks.judged import NO_REFERENCE, ONLY_A_RATE, judged_of
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import worst
from equivcheck.core.generation import Generation
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SAMPLED,
    SHUFFLED,
    TARGET,
    Evidence,
    GenerationRecord,
    Preflight,
    Rescored,
)
from equivcheck.records.score_table import ScoreTable, Support
from tests.unit.make import (
    EOS,
    make_capabilities,
    make_evidence,
    make_gaps,
    make_generation,
    make_request,
    make_steps,
)
from tests.unit.statistics.tables import CASES, LENGTH, Decoder, make

ASKED: dict[str, dict[str, Any]] = {
    "code/greedy": {},
    "code/penalised": {"sampling": Sampling(presence_penalty=0.5)},
    "code/stopped": {"stop": ("x",)},
    "code/0": {"sampling": Sampling(temperature=1.0)},
    "code/1": {"sampling": Sampling(temperature=1.0, presence_penalty=0.5)},
    "code/2": {"sampling": Sampling(temperature=1.0), "stop": ("x",)},
    **{f"code/{case}": {"sampling": Sampling(temperature=1.0)} for case in range(3, CASES)},
}
"""The first three are greedy; the others are drawn as well."""
ANSWERED = {
    "greedy": "code/greedy",
    "sampled": "code/0",
    "penalised": "code/penalised",
    "stopped": "code/stopped",
}
DRAWN = {"sampled": "code/0#1", "penalised": "code/1#2", "stopped": "code/2#1"}
GREEDY = ("code/greedy", "code/penalised", "code/stopped")

Fault = Callable[[Generation], Generation]


def another_token(answer: Generation) -> Generation:
    tokens = list(answer.token_ids)
    tokens[2] += 1
    return msgspec.structs.replace(answer, token_ids=tuple(tokens))


def past_its_end(answer: Generation) -> Generation:
    tokens = list(answer.token_ids)
    tokens[2] = EOS
    return msgspec.structs.replace(answer, token_ids=tuple(tokens))


def miscounted(answer: Generation) -> Generation:
    first = msgspec.structs.replace(answer.steps[0], accepted=answer.steps[0].drafted + 1)
    return msgspec.structs.replace(answer, steps=(first, *answer.steps[1:]))


def misreported(answer: Generation) -> Generation:
    assert answer.scores is not None
    first = msgspec.structs.replace(answer.scores[0], logprob=-0.9)
    return msgspec.structs.replace(answer, scores=(first, *answer.scores[1:]))


IDENTITY = {"sampled": "coupled"}
"""Population to the check of its tokens, where that is not `greedy`."""


def expected(fault: Fault, arm: str, population: str) -> str:
    """The check that has to speak, or the reason for which the output is not judged."""
    if fault in (past_its_end, miscounted):
        return "stopping" if fault is past_its_end else "counters"
    if arm in (REPEAT, SHUFFLED):
        return "determinism" if arm == REPEAT else "batching"
    if arm == CONTROL:
        return ONLY_A_RATE if fault is another_token else NO_REFERENCE
    return IDENTITY.get(population, "greedy") if fault is another_token else "logprobs"


@cache
def scores() -> ScoreTable:
    return make(Decoder(), seed=5, rounds=2)


@cache
def sound() -> Evidence:
    """A run of all arms, with an identity contract, every answer rescored but the control's."""
    fields: dict[str, Any] = {"identity": "fixed", "reports_steps": True, "reports_scores": True}
    plain = make_capabilities(rule="coupled", **fields)
    fast = make_capabilities(rule="coupled", num_speculative_tokens=4, **fields)
    arms = {
        TARGET: plain,
        CANDIDATE: fast,
        CONTROL: make_capabilities(reports_steps=True, reports_scores=True),
        REPEAT: fast,
        SHUFFLED: fast,
        SAMPLED: make_capabilities(num_speculative_tokens=4, reports_steps=True, rule="rejection"),
    }
    answers = {
        arm: [answer(key, drafting=told is fast) for key in (GREEDY if arm == CONTROL else ASKED)]
        for arm, told in arms.items()
        if arm != SAMPLED
    }
    requests = [make_request(key, max_new_tokens=LENGTH, **given) for key, given in ASKED.items()]
    rescored = [
        Rescored(
            key=key,
            arm=arm,
            reference="transformers fp32",
            logprobs=(-0.1,) * LENGTH,
            gaps=make_gaps(*[0.0] * LENGTH),
        )
        for arm in (TARGET, CANDIDATE)
        for key in ASKED
    ]
    drawn = [key for key in ASKED if key not in GREEDY]
    planned = {arm: [each.key for each in given] for arm, given in answers.items()}
    evidence = make_evidence(
        answers,
        requests=requests,
        arms=arms,
        planned={**planned, SAMPLED: drawn},
        rescored=rescored,
    )
    keys = scores().keys
    return msgspec.structs.replace(
        evidence,
        draws={SAMPLED: {key: answer(key, drafting=True) for key in keys}},
        stops_of_draws={SAMPLED: dict.fromkeys(keys)},
        scores=scores(),
        preflight=Preflight(
            positions=1, draft_distance=0.4, divergences={}, tokens=len(keys) * LENGTH
        ),
    )


def answer(key: str, *, drafting: bool) -> Generation:
    block = (4, 1) if drafting else (0, 0)
    steps = make_steps(*[block] * (LENGTH // (block[1] + 1)))
    return make_generation(
        range(10, 10 + LENGTH), key=key, steps=steps, scores=[(-0.1, 7, -3.0)] * LENGTH
    )


def changed(arm: str, key: str, fault: Fault) -> Evidence:
    """The sound run with one fault in one arm's answer, or in one draw."""
    evidence = sound()
    if arm == SAMPLED:
        draws = evidence.draws[SAMPLED]
        return msgspec.structs.replace(evidence, draws={SAMPLED: {**draws, key: fault(draws[key])}})
    of_arm: dict[str, GenerationRecord] = evidence.captured[arm]
    edited = msgspec.structs.replace(of_arm[key], generation=fault(of_arm[key].generation))
    return msgspec.structs.replace(
        evidence, captured={**evidence.captured, arm: {**of_arm, key: edited}}
    )


def severities(evidence: Evidence) -> dict[str, int]:
    """Check to how grave its worst finding is."""
    found = {name: [each.outcome for each in check(evidence)] for name, check in CHECKS}
    return {name: worst(outcomes).severity for name, outcomes in found.items() if outcomes}


def worse(evidence: Evidence) -> set[str]:
    """Checks that say something graver than of the sound run."""
    before, after = severities(sound()), severities(evidence)
    return {name for name, severity in after.items() if severity > before[name]}


def not_judged(evidence: Evidence) -> set[str]:
    return {reason for row in judged_of(evidence) for reason in row.not_judged}


@pytest.mark.parametrize("fault", [another_token, past_its_end, miscounted, misreported])
@pytest.mark.parametrize(
    ("arm", "population"),
    [
        (arm, population)
        for arm in (TARGET, CANDIDATE, CONTROL, REPEAT, SHUFFLED)
        for population in ANSWERED
        # The control arm decodes greedy cases only.
        if (arm, population) != (CONTROL, "sampled")
    ],
)
def test_a_fault_in_an_answer(fault: Fault, arm: str, population: str) -> None:
    evidence = changed(arm, ANSWERED[population], fault)
    wanted = expected(fault, arm, population)
    assert wanted in worse(evidence) | not_judged(evidence)


@pytest.mark.parametrize(("fault", "check"), [(past_its_end, "stopping"), (miscounted, "counters")])
@pytest.mark.parametrize("population", DRAWN)
def test_a_fault_in_a_draw(fault: Fault, check: str, population: str) -> None:
    assert check in worse(changed(SAMPLED, DRAWN[population], fault))


@pytest.mark.parametrize("population", DRAWN)
def test_a_draw_that_the_target_rules_out(population: str) -> None:
    support = scores().support.copy()
    row = int(scores().starts[scores().keys.index(DRAWN[population])])
    support[row] = Support.OUTSIDE
    table = dataclasses.replace(scores(), support=support)
    assert "sampled" in worse(msgspec.structs.replace(sound(), scores=table))


def test_draws_that_were_not_searched_for_stop_strings_are_counted() -> None:
    evidence = msgspec.structs.replace(sound(), stops_of_draws={})
    (row,) = (each for each in judged_of(evidence) if each.check == "stopping")
    assert sum(row.not_judged.values()) == 2
    assert row.judged == sum(map(len, sound().captured.values())) + len(scores().keys) - 2


def test_the_sound_run_says_what_it_left_out() -> None:
    rows = {row.check: row for row in judged_of(sound())}
    assert rows["greedy"].judged == len(GREEDY)
    assert rows["greedy"].not_judged == {ONLY_A_RATE: len(GREEDY)}
    assert rows["coupled"].judged == len(ASKED) - len(GREEDY)
    assert rows["sampled"].judged == len(scores().keys) * LENGTH
    assert rows["logprobs"].not_judged == {NO_REFERENCE: len(GREEDY) + 2 * len(ASKED)}
    assert rows["determinism"].not_judged == rows["batching"].not_judged == {}


def test_tokens_at_a_tie_are_counted_as_not_judged() -> None:
    support = np.full(scores().rows, Support.TIED, np.uint8)
    support[:5] = Support.BORDER
    table = dataclasses.replace(scores(), support=support)
    rows = {row.check: row for row in judged_of(msgspec.structs.replace(sound(), scores=table))}
    assert rows["sampled"].judged == 0
    assert list(rows["sampled"].not_judged.values()) == [5, scores().rows - 5]
