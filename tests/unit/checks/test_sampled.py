"""The check `sampled` says what the battery means, and passes nothing that it cannot know."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from equivcheck.checks.parameters import parameter_group
from equivcheck.checks.sampled import check, distribution_of
from equivcheck.checks.verdict import judge
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.settings import Settings
from equivcheck.records.records import SAMPLED, Evidence, Preflight
from equivcheck.records.score_table import ScoreTable, Support
from equivcheck.statistics.preflight import preflight
from tests.unit.make import (
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)
from tests.unit.statistics.tables import (
    CASES,
    LENGTH,
    Decoder,
    lenience,
    make,
    mixed,
    target,
    temperature,
)

SOUND = Decoder()
ROUNDS = 314
"""Enough for the default profile: 40,192 tokens."""
Q_LEANING = Decoder(bonus=lambda p, q: q)


@cache
def table(decoder: Decoder, *, rounds: int, seed: int = 11) -> ScoreTable:
    return make(decoder, seed=seed, rounds=rounds)


def evidence_of(
    scores: ScoreTable | None,
    *,
    ahead: Preflight | None = None,
    settings: Settings | None = None,
    traces: bool = True,
    drawn: tuple[str, ...] | None = None,
) -> Evidence:
    """A run whose draws have these scores; half of its cases at T = 0.7, half at T = 1."""
    cases = [f"code/{index}" for index in range(CASES)]
    requests = [
        make_request(
            key, max_new_tokens=LENGTH, sampling=Sampling(temperature=(0.7, 1.0)[index % 2])
        )
        for index, key in enumerate(cases)
    ]
    arm = make_capabilities(rule="rejection", reports_steps=True, reports_rejected=traces)
    keys = drawn if drawn is not None else scores.keys if scores else ()
    base = make_evidence(
        {"target": [drawn_output(key) for key in cases]},
        requests=requests,
        arms={"target": make_capabilities(), SAMPLED: arm},
        planned={"target": cases, SAMPLED: cases},
        settings=settings,
    )
    return msgspec.structs.replace(
        base,
        preflight=ahead or look_ahead(),
        draws={SAMPLED: {key: drawn_output(key) for key in keys}} if keys else {},
        scores=scores,
    )


def drawn_output(key: str) -> Generation:
    """Its tokens do not matter, only how many there are."""
    return make_generation(range(10, 10 + LENGTH), key=key, steps=make_steps(*[(0, 0)] * LENGTH))


@cache
def look_ahead(tokens: int = 40_000) -> Preflight:
    return preflight(make(SOUND, seed=1, rounds=40), tokens=tokens)


def distribution_finding(evidence: Evidence) -> Finding:
    return check(evidence)[0]


def test_a_sound_decoder_passes_with_its_bounds() -> None:
    finding = distribution_finding(evidence_of(table(SOUND, rounds=ROUNDS)))
    assert (finding.outcome, finding.reason) == (Outcome.PASS, Reason.DISTRIBUTION_HELD)
    assert finding.headline.startswith(
        f"{ROUNDS * CASES * LENGTH:,} tokens follow the target's distribution: leak < "
    )
    for word in ("lenience > 0.9", "temperature < 1.0", "temperature > 0.9"):
        assert word in finding.headline
    assert any(line.startswith("excess mass in monitored directions") for line in finding.details)
    assert any(
        line.startswith("40,000 tokens show with 99 %: leak+ 0.0") for line in finding.details
    )
    assert finding.limit == 4.0
    assert finding.estimate is not None
    assert finding.estimate < finding.limit


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        (Decoder(accept=lambda odds: np.minimum(1, odds + 0.3)), "accepted with probability min"),
        (Decoder(accept=lambda odds: np.ones_like(odds)), "drafts are not accepted"),
        (Q_LEANING, "after accepted blocks do not follow p"),
        (Decoder(share_noise=True), "requests share their noise"),
        (Decoder(output=temperature(1.2)), "the temperature is 1.2 times"),
        (Decoder(output=lenience(0.6)), "as if p were 1/0.6"),
    ],
    ids=["accept", "always", "bonus", "shared-noise", "temperature", "lenience"],
)
def test_a_fault_is_named(decoder: Decoder, said: str) -> None:
    finding = distribution_finding(evidence_of(table(decoder, rounds=120)))
    assert finding.outcome is Outcome.FAIL
    assert said in finding.headline
    assert finding.repeat == "equivcheck judge run-1"
    assert any("highest e-value" in line for line in finding.details)


def test_a_drafter_off_its_distribution_is_told_of_and_fails_nothing() -> None:
    evidence = evidence_of(table(Decoder(misread=0.3), rounds=ROUNDS))
    held, void = check(evidence)
    assert (held.outcome, held.reason) == (Outcome.PASS, Reason.DISTRIBUTION_HELD)
    assert (void.outcome, void.reason) == (Outcome.PASS, Reason.DRAFT_DISTRIBUTION_VOID)
    assert void.headline.startswith("drafter degraded, or its q misread: judged by p alone (")
    assert "rejections of a draft with p ≥ q" in void.headline
    assert any(line.startswith("void of the stages: accept 10^") for line in void.details)
    assert not any("the engine tells no stages" in line for line in held.details)


def test_a_broken_rule_that_does_not_fit_q_is_not_called_a_matter_of_the_drafter() -> None:
    broken, *_, void = check(evidence_of(table(Decoder(recover=target), rounds=120)))
    assert (broken.outcome, broken.reason) == (Outcome.FAIL, Reason.DISTRIBUTION_BROKEN)
    assert "rejected drafts are replaced by a draw from p" in broken.headline
    assert any("void, as they rest on q: " in line for line in broken.details)
    assert void.reason is Reason.DRAFT_DISTRIBUTION_VOID
    assert void.headline.startswith("drafts, or what became of them, do not fit q: ")


def test_the_verdict_says_how_the_distribution_is_broken() -> None:
    evidence = evidence_of(table(Q_LEANING, rounds=120))
    (first, *_) = check(evidence)
    assert judge(evidence).headline == f"NOT EQUIVALENT — {first.headline}"


def test_the_direction_is_told_with_its_error() -> None:
    always = Decoder(output=lambda p, q: q)
    finding = distribution_finding(evidence_of(table(always, rounds=120)))
    assert finding.headline.endswith("100 % of it follows the draft")
    assert finding.details[0].startswith("output leans to the draft: excess mass +")
    assert "where q > p" in finding.details[0]


def test_an_impossible_event_needs_no_statistics() -> None:
    sound = table(SOUND, rounds=4)
    support = sound.support.copy()
    support[LENGTH + 3] = Support.OUTSIDE
    finding = distribution_finding(evidence_of(dataclasses.replace(sound, support=support)))
    assert (finding.outcome, finding.reason) == (Outcome.FAIL, Reason.IMPOSSIBLE)
    assert "1 token that the target rules out (0 allowed)" in finding.headline
    first = "code/1#1, output token 3 (sequence position 6)"
    assert finding.details[0] == f"first impossible event: {first}"


def test_the_parameters_that_are_broken_are_named() -> None:
    good, bad = (
        table(decoder, rounds=100) for decoder in (SOUND, Decoder(output=temperature(1.3)))
    )
    wrong = (np.arange(good.rows) // LENGTH) % 2 == 0
    findings = check(evidence_of(mixed(good, bad, wrong=wrong)))
    assert "parameters that stand out: T=0.7" in findings[0].details
    assert any("for parameters T=0.7" in finding.headline for finding in findings[1:])
    assert not any("T=1" in finding.headline for finding in findings[1:])


def test_a_fault_everywhere_is_told_once() -> None:
    found = check(evidence_of(table(Decoder(output=temperature(1.2)), rounds=60)))
    assert len(found) == 1
    assert any(line.startswith("cases that stand out: code/") for line in found[0].details)
    assert not any(line.startswith("bounds") for line in found[0].details)


def test_a_budget_that_is_not_spent_is_no_pass() -> None:
    finding = distribution_finding(evidence_of(table(SOUND, rounds=40)))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED)
    assert "only 5,120 tokens of 40,000" in finding.headline


def test_margins_that_are_not_excluded_are_no_pass() -> None:
    few = evidence_of(table(SOUND, rounds=40), ahead=look_ahead(tokens=5000))
    finding = distribution_finding(few)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_EXCLUDED)
    assert "leak=0.05" in finding.headline
    assert "more with --continue" in finding.headline


def test_a_budget_that_cannot_show_what_is_required_is_refused_beforehand() -> None:
    finding = distribution_finding(evidence_of(None, ahead=look_ahead(tokens=2000)))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.UNDERPOWERED)
    assert "2,000 tokens cannot show" in finding.headline
    assert "it would take about" in finding.headline


def test_where_target_and_draft_agree_no_budget_would_do() -> None:
    same = msgspec.structs.replace(
        look_ahead(),
        draft_distance=0.0,
        divergences=dict.fromkeys(look_ahead().divergences, 0.0),
    )
    finding = distribution_finding(evidence_of(None, ahead=same))
    assert finding.reason is Reason.UNDERPOWERED
    assert "no number of tokens would do" in finding.headline


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preflight": None}, "nothing was drawn"),
        ({"draws": {}}, "nothing was drawn"),
        ({"scores": None}, "and no scores"),
        ({"draws": {SAMPLED: {"code/0#1": make_generation(key="code/0#1")}}}, "not those of"),
    ],
)
def test_missing_evidence_is_never_a_pass(changes: dict[str, Any], said: str) -> None:
    whole = evidence_of(table(SOUND, rounds=4))
    (finding,) = check(msgspec.structs.replace(whole, **changes))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED)
    assert said in finding.headline


def test_a_planned_case_that_was_not_drawn_is_no_pass() -> None:
    evidence = evidence_of(table(SOUND, rounds=ROUNDS))
    planned = evidence.header.planned | {SAMPLED: (*evidence.header.planned[SAMPLED], "code/99")}
    header = msgspec.structs.replace(evidence.header, planned=planned)
    finding = distribution_finding(msgspec.structs.replace(evidence, header=header))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED)
    # The last round may have been cut short.
    assert f"but {ROUNDS - 1} planned draws missing" in finding.headline


def test_a_draw_without_scores_is_not_dropped() -> None:
    scores = table(SOUND, rounds=4)
    (finding,) = check(evidence_of(scores, drawn=(*scores.keys, "code/0#5")))
    assert "1 draw of 33 lack scores" in finding.headline


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("log_ratio", np.nan, "log_ratio holds NaN"), ("bin", 200, "out of bounds")],
)
def test_damaged_scores_are_never_a_pass(column: str, value: float, said: str) -> None:
    scores = table(SOUND, rounds=4)
    damaged = getattr(scores, column).copy()
    damaged[LENGTH] = value
    evidence = evidence_of(dataclasses.replace(scores, **{column: damaged}))
    (finding,) = check(evidence)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED)
    assert said in finding.headline
    assert distribution_of(evidence) is None


def test_a_token_without_a_score_is_not_dropped() -> None:
    whole = evidence_of(table(SOUND, rounds=4))
    longer = make_generation(range(LENGTH + 1), key="code/0#1")
    draws = {SAMPLED: whole.draws[SAMPLED] | {"code/0#1": longer}}
    (finding,) = check(msgspec.structs.replace(whole, draws=draws))
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "not every token has its score" in finding.headline


@pytest.mark.parametrize(("count", "outcome"), [(9, Outcome.PASS), (60, Outcome.INCONCLUSIVE)])
def test_the_border_of_a_cut_is_excused_only_as_often_as_arithmetic_crosses_it(
    count: int, outcome: Outcome
) -> None:
    sound = table(SOUND, rounds=ROUNDS)
    support = sound.support.copy()
    support[: count * LENGTH : LENGTH] = Support.BORDER
    finding = distribution_finding(evidence_of(dataclasses.replace(sound, support=support)))
    assert finding.outcome is outcome
    if outcome is Outcome.INCONCLUSIVE:
        assert (
            "60 at the border of a truncated distribution; arithmetic explains" in finding.headline
        )
    else:
        assert finding.n == sound.rows - count


def test_nothing_planned_says_nothing() -> None:
    assert check(make_evidence({"target": [make_generation()]})) == []


def test_without_a_trace_the_stages_are_left_out_and_said_to_be() -> None:
    finding = distribution_finding(evidence_of(table(SOUND, rounds=ROUNDS), traces=False))
    assert any("tells no stages" in line for line in finding.details)
    assert not any("stages 10^" in line for line in finding.details)


def test_the_same_evidence_gives_the_same_bytes() -> None:
    def judged() -> bytes:
        scores = make(Q_LEANING, seed=4, rounds=60)
        return msgspec.json.encode(check(evidence_of(scores)))

    assert judged() == judged()


def test_check_and_report_share_one_evaluation() -> None:
    evidence = evidence_of(table(SOUND, rounds=4))
    assert distribution_of(evidence) is distribution_of(evidence)


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        (Sampling(temperature=1.0), "T=1"),
        (Sampling(temperature=0.7, top_k=50, top_p=0.95), "T=0.7 top-k 50 top-p 0.95"),
        (Sampling(temperature=1.3, min_p=0.05), "T=1.3 min-p 0.05"),
        (
            Sampling(temperature=1.0, presence_penalty=0.5, logit_bias={3: 1.0}),
            "T=1 penalties bias",
        ),
    ],
)
def test_a_parameter_group_has_a_short_name(sampling: Sampling, name: str) -> None:
    assert parameter_group(sampling) == name
