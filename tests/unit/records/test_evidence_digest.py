"""The digest of the evidence: the same however answers are held, another for every other number."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.core.generation import Generation, Step, TokenScore
from equivcheck.core.packed import packed
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import CANDIDATE
from tests.unit.make import make_evidence, make_generation

STEPS = (
    Step(drafted=2, accepted=1, emitted=2, seconds=0.5, rejected=12, drafts=(11, 12)),
    Step(
        drafted=2,
        accepted=0,
        emitted=1,
        rejected=9,
        drafts=(9, 8),
        draft_logprobs=(-0.5,),
        residual_log_weight=-2.0,
    ),
)
SCORES = tuple(TokenScore(logprob=-0.25, rival=4, rival_logprob=-3.0) for _ in range(3))
ANSWER = msgspec.structs.replace(
    make_generation((11, 13, 7), steps=STEPS), scores=SCORES, logit_digests=(1, -2, 3)
)
OTHERS: dict[str, dict[str, Any]] = {
    "a token": {"token_ids": (11, 13, 6)},
    "a fingerprint": {"logit_digests": (1, -2, 4)},
    "no fingerprints": {"logit_digests": None},
    "fingerprints of 64 bits": {"logit_digests": (1, -2, 2**63)},
    "fingerprints beyond them": {"logit_digests": (1, -2, 2**64)},
    "a score": {"scores": (*SCORES[:2], TokenScore(logprob=-0.25, rival=4, rival_logprob=-2.0))},
    "a rival": {"scores": (*SCORES[:2], TokenScore(logprob=-0.25, rival=5, rival_logprob=-3.0))},
    "no scores": {"scores": None},
    "no steps": {"steps": ()},
    "a draft": {"steps": (msgspec.structs.replace(STEPS[0], drafts=(11, 14)), STEPS[1])},
    "drafts untold": {"steps": (msgspec.structs.replace(STEPS[0], drafts=None), STEPS[1])},
    "a count": {"steps": (msgspec.structs.replace(STEPS[0], drafted=3), STEPS[1])},
    "a rejected draft": {"steps": (msgspec.structs.replace(STEPS[0], rejected=None), STEPS[1])},
    "q": {"steps": (STEPS[0], msgspec.structs.replace(STEPS[1], draft_logprobs=(-0.75,)))},
    "a weight": {"steps": (STEPS[0], msgspec.structs.replace(STEPS[1], residual_log_weight=-1.0))},
    "how it ended": {"finish_reason": "stop"},
}


def digest(answer: Generation) -> str:
    return evidence_digest(make_evidence({CANDIDATE: [answer]}))


def test_a_packed_answer_has_the_digest_of_the_same_unpacked() -> None:
    assert digest(packed(ANSWER)) == digest(ANSWER)


def test_times_change_nothing() -> None:
    slower = [msgspec.structs.replace(step, seconds=9.0) for step in STEPS]
    assert digest(
        msgspec.structs.replace(ANSWER, steps=tuple(slower), prefill_seconds=1.0)
    ) == digest(ANSWER)


@pytest.mark.parametrize("fields", OTHERS.values(), ids=OTHERS)
def test_every_other_number_changes_it(fields: dict[str, Any]) -> None:
    other = msgspec.structs.replace(ANSWER, **fields)
    assert digest(other) != digest(ANSWER)
    assert digest(packed(other)) == digest(other)
