from __future__ import annotations

from collections.abc import Sequence

import pytest

from equivcheck.checks.logprobs import ScoredOutput, check, faults_of, tolerance
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import TokenScore
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, Rescored
from tests.unit.make import make_evidence, make_generation, make_request

BF16 = Settings(setup=EngineSetup(dtype="bfloat16"))
LONG = 20


def rescored(*logprobs: float) -> Rescored:
    return Rescored(key="code/one", arm=TARGET, reference="fp32 pass", logprobs=logprobs, gaps=())


def faults(
    own: Sequence[float],
    reference: Sequence[float] | None,
    *,
    settings: Settings = BF16,
    rival: tuple[int, float] = (5, -4.0),
    temperature: float = 0.0,
    tokens: int | None = None,
) -> list[str]:
    output = ScoredOutput(
        key="code/one",
        arm=TARGET,
        scores=tuple(TokenScore(logprob=p, rival=rival[0], rival_logprob=rival[1]) for p in own),
        tokens=tuple(range(10, 10 + (len(own) if tokens is None else tokens))),
        rescored=None if reference is None else rescored(*reference),
    )
    request = make_request(sampling=Sampling(temperature=temperature))
    return list(faults_of(output, request=request, settings=settings))


def test_scores_within_the_tolerance_hold() -> None:
    assert faults([-0.1, -1.0], [-0.5, -0.6]) == []
    assert faults([-0.1] * LONG, [-0.15] * LONG) == []
    assert faults([], []) == []


BROKEN = {
    "one-off": (
        faults([-0.1, -1.0], [-0.1, -1.6]),
        ["token 1 has log-probability -1, fp32 pass says -1.6 (0.5 allowed)"],
    ),
    "shifted-everywhere": (
        faults([-0.1] * LONG, [-0.3] * LONG),
        ["log-probabilities are off by 0.2 nats on average over 20 tokens (0.1 allowed)"],
    ),
    "zero-without-reference": (
        faults([0.0] * LONG, None, rival=(5, -30.0)),
        ["log-probability 0.0 for all 20 tokens"],
    ),
    "missing": (faults([-0.1], None, tokens=2), ["1 score for 2 tokens"]),
    "missing-reference": (faults([-0.1, -0.1], [-0.1]), ["1 reference score for 2 tokens"]),
    "own-rival": (faults([-0.1], None, rival=(10, -4.0)), ["token 0 is its own rival"]),
    "too-much-mass": (
        faults([-0.1], None, rival=(5, -0.2)),
        ["token 0 and its rival have log-probabilities -0.1 and -0.2: more than all the mass"],
    ),
    "logits-for-logprobs": (
        faults([900.0], None),
        ["token 0 and its rival have log-probabilities 900 and -4: more than all the mass"],
    ),
    "greedy-below-rival": (
        faults([-2.0], None, rival=(5, -0.5)),
        ["greedy token 0 lies 1.5 nats below its rival"],
    ),
}


@pytest.mark.parametrize(("found", "wanted"), BROKEN.values(), ids=BROKEN)
def test_wrong_scores(found: list[str], wanted: list[str]) -> None:
    assert found == wanted


def test_a_sampled_token_may_lie_below_its_rival() -> None:
    assert faults([-2.0], None, rival=(5, -0.5), temperature=0.7) == []


def test_all_zero_scores_are_caught_by_the_reference_too() -> None:
    reference = [-0.001, -0.7] * (LONG // 2)
    assert faults([0.0] * LONG, reference, rival=(5, -30.0))


def test_near_certain_short_answers_may_be_all_zero() -> None:
    assert faults([0.0, 0.0], None, rival=(5, -30.0)) == []


def test_the_tolerance_follows_the_dtype_or_the_setting() -> None:
    assert tolerance(Settings()) < tolerance(BF16) == 0.5
    assert tolerance(Settings(logprob_tolerance=0.7)) == 0.7
    assert faults([-0.1], [-0.2], settings=Settings())


def make_run(*, own: float, reference: bool = True) -> Evidence:
    answer = make_generation(scores=[(own, 5, -4.0)] * 4)
    return make_evidence(
        {TARGET: [answer], CANDIDATE: [make_generation()]},
        rescored=[rescored(-0.1, -0.1, -0.1, -0.1)] if reference else [],
    )


def test_findings_by_case_and_workload() -> None:
    (summary,) = check(make_run(own=-0.1))
    assert (summary.subject, summary.outcome, summary.n) == ("code", Outcome.PASS, 4)
    assert summary.headline == (
        "log-probabilities hold on 4 tokens of 1 output, by an independent pass"
    )
    case, summary = check(make_run(own=-0.5))
    assert (case.subject, case.outcome, case.reason) == (
        "code/one",
        Outcome.FAIL,
        Reason.LOGPROBS,
    )
    assert case.headline.startswith("target: token 0 has log-probability -0.5, fp32 pass says")
    assert summary.headline == "log-probabilities wrong on 1 case"


def test_a_pass_without_an_independent_pass_says_so() -> None:
    (summary,) = check(make_run(own=-0.5, reference=False))
    assert (summary.outcome, summary.n) == (Outcome.PASS, 0)
    assert summary.headline.endswith("none was held against an independent pass")
