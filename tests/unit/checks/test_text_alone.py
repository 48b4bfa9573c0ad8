"""Answers of which only the text is known: what is judged, what is not, and in which words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.checks import complete, counters, greedy, stopping
from equivcheck.checks.judged import TEXT_ALONE, judged_of
from equivcheck.checks.text_alone import weigh
from equivcheck.checks.verdict import judge
from equivcheck.core.engine import UNTOLD
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import DraftCounts
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.divergence import Pair, first_divergence, join
from equivcheck.records.records import CANDIDATE, TARGET, Arbitration, Evidence, Gap, TextGaps
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_captured,
    make_evidence,
    make_gaps,
    make_generation,
    make_request,
)

BF16 = Settings(setup=EngineSetup(dtype="bfloat16"), near_tie_ulps=2.0)
"""Near logits of 20: one ulp is 0.125, the limit 0.25 nats."""
WIDE, CLOSE = 3.0, 0.2


def gap(size: float) -> Gap:
    return Gap(gap=size, best=10, magnitude=20.0)


def arbitration(
    *, apart: float = WIDE, others: float = WIDE, target: float = 0.0, arm: float = WIDE
) -> Arbitration:
    """Places 0 and 1 are shared; at place 2 the arms part."""
    return make_arbitration(
        arm_logprob=-0.7 - apart,
        arm_gaps=make_gaps(0, 0, apart, 0),
        text=TextGaps(others=(gap(WIDE), gap(others)), target=gap(target), arm=gap(arm)),
    )


def parted(other: tuple[int, ...] = (10, 11, 77, 78)) -> Pair:
    one, two = make_generation((10, 11, 12, 13)), make_generation(other)
    return Pair(
        key="code/one",
        arm=CANDIDATE,
        base=TARGET,
        target=one,
        other=two,
        position=first_divergence(one, two),
        text_alone=True,
    )


def test_a_text_that_no_decoding_gives_is_a_failure() -> None:
    weighed = weigh(parted(), arbitration(), BF16)
    assert (weighed.outcome, weighed.reason) == (Outcome.FAIL, Reason.DIVERGED)
    assert "no token less than 3 nats under the reference's best" in weighed.because


@pytest.mark.parametrize(
    "found",
    [
        # At a shared place other tokens may have stood, so what follows may follow on them.
        arbitration(others=CLOSE),
        # The arm's text goes on with another token than the tokenizer's, which is close enough.
        arbitration(arm=CLOSE),
        # Nor would these weights have given the target's text.
        arbitration(target=WIDE),
        # Nobody has looked at the text.
        msgspec.structs.replace(arbitration(), text=None),
        None,
    ],
    ids=["prefix", "arm", "target", "unseen", "unscored"],
)
def test_what_other_tokens_may_explain_is_not_known(found: Arbitration | None) -> None:
    weighed = weigh(parted(), found, BF16)
    assert (weighed.outcome, weighed.reason) == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)


def test_an_end_that_differs_is_not_known() -> None:
    weighed = weigh(parted((10, 11)), arbitration(arm=0.0), BF16)
    assert weighed.outcome is Outcome.INCONCLUSIVE
    assert "answers are text alone" in weighed.because


def test_a_near_tie_stays_one() -> None:
    assert weigh(parted(), arbitration(apart=CLOSE), BF16).reason is Reason.NUMERICS


def test_where_tokens_are_known_nothing_is_excused() -> None:
    pair = msgspec.structs.replace(parted(), text_alone=False)
    assert weigh(pair, arbitration(arm=CLOSE), BF16).outcome is Outcome.FAIL


def evidence(other: tuple[int, ...] = (10, 11, 12, 13), **asked: Any) -> Evidence:
    told = make_capabilities(text_alone=True, num_speculative_tokens=4, reports_counts=True)
    counted = DraftCounts(drafted=8, accepted=90)
    return make_evidence(
        {
            TARGET: [make_generation()],
            CANDIDATE: [make_generation(other, counts=counted)],
        },
        arms={
            TARGET: msgspec.structs.replace(told, num_speculative_tokens=0, reports_counts=False),
            CANDIDATE: told,
        },
        requests=[make_request(**asked)],
    )


def test_equal_texts_are_never_called_equal_tokens() -> None:
    [pair] = join(evidence(), arm=CANDIDATE)
    assert pair.text_alone
    verdict = judge(evidence())
    words = [verdict.headline, *(each.headline for each in verdict.findings)]
    assert "text-identical on 1 of 1 prompt (4 tokens by the pair's tokenizer)" in verdict.headline
    assert "text identical, 4 tokens by the pair's tokenizer" in words
    assert not any("token for token" in each or "tokens are identical" in each for each in words)


def test_other_texts_are_said_to_be_texts() -> None:
    found = evidence((10, 11, 77, 78))
    found = msgspec.structs.replace(found, arbitrations=(arbitration(),))
    assert "diverged in text from target on 1 of 1 prompt" in judge(found).headline


@pytest.mark.parametrize("other", [(10, 11, 77, 78), (10, 11)])
def test_without_a_dtype_no_text_is_proof(other: tuple[int, ...]) -> None:
    found = evidence(other)
    arms = {
        arm: msgspec.structs.replace(told, dtype=UNTOLD) for arm, told in found.header.arms.items()
    }
    header = msgspec.structs.replace(found.header, arms=arms)
    found = msgspec.structs.replace(found, header=header, arbitrations=(arbitration(),))
    [case] = [each for each in greedy.check(found) if each.subject == "code/one"]
    assert case.outcome is Outcome.INCONCLUSIVE
    assert "does not say in which dtype" in case.details[-1]


def test_what_needs_ids_is_not_judged_and_that_is_said() -> None:
    # Too many accepted drafts and too few tokens for any answer of 3 ids: with ids, failures.
    found = evidence((10, 11, 12))
    assert counters.check(found) == []
    assert stopping.check(found) == []
    [said] = [each for each in complete.check(found) if each.reason is Reason.LEFT_OUT]
    assert said.headline == "the verdict is about text: no engine gave token ids"
    left = {each.check: each.not_judged for each in judged_of(found)}
    assert left["stopping"] == {TEXT_ALONE: 2}
    assert left["counters"] == {TEXT_ALONE: 2}


@pytest.mark.parametrize(
    ("completed", "outcome"), [(None, Outcome.PASS), (3, Outcome.PASS), (1, Outcome.FAIL)]
)
def test_text_behind_a_stop_string_is_a_failure(completed: int | None, outcome: Outcome) -> None:
    found = evidence(stop=("x",))
    answer = make_captured(CANDIDATE, make_generation(), stop_completed_at=completed)
    captured = found.captured | {CANDIDATE: {"code/one": answer}}
    findings = stopping.check(msgspec.structs.replace(found, captured=captured))
    assert findings[-1].outcome is outcome
    assert findings[-1].n == 2
