from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equivcheck.core.errors import SuiteError
from equivcheck.core.findings import Outcome
from equivcheck.evaluations.answers import Evaluation, GradedAnswer
from equivcheck.evaluations.compare import ScoredEvaluation, compare
from equivcheck.evaluations.power import detectable_loss, two_sided
from equivcheck.evaluations.read import read_evaluation

LOGS = Path(__file__).parent / "logs"
PROMPTS = 1319


def evaluation(right: np.ndarray, *, text: Callable[[int, bool], str | None]) -> Evaluation:
    """One epoch: what is right is 1, and the text is made from the sample and whether it is."""
    return {
        "t": {
            str(at): {1: GradedAnswer(f"p{at}", text(at, bool(good)), {"acc": float(good)})}
            for at, good in enumerate(right)
        }
    }


def drawn(difficulty: np.ndarray, *, seed: int, loss: float = 0.0) -> Evaluation:
    """An arm that answers each prompt right with its own chance, and draws a text of its own."""
    chance = np.random.default_rng(seed)
    right = chance.random(len(difficulty)) < difficulty * (1 - loss)
    return evaluation(right, text=lambda at, good: f"{at} {good} {seed}")


def judged(a: Evaluation, b: Evaluation, *, margin: float = 0.02) -> ScoredEvaluation:
    return compare(a=a, b=b, margin=margin)


@pytest.mark.parametrize("name", ["harness-{}.jsonl", "inspect-{}.json"])
def test_one_text_of_a_dozen_that_differs_shows_no_loss_and_excludes_none(name: str) -> None:
    a, b = (read_evaluation(LOGS / name.format(arm)) for arm in "ab")
    found = judged(a, b)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert [(each.only_a, each.only_b) for each in found.metrics] == [(1, 0), (1, 0)]
    assert judged(a, a).outcome is Outcome.PASS
    assert judged(a, a).same_text == judged(a, a).samples


def test_a_loss_is_seen_and_equal_arms_are_not_accused() -> None:
    difficulty = np.random.default_rng(0).beta(2, 1, PROMPTS)
    plain = [drawn(difficulty, seed=seed) for seed in range(40)]
    lossy = [drawn(difficulty, seed=100 + seed, loss=0.15) for seed in range(20)]
    caught = [judged(a, b).outcome for a, b in zip(plain, lossy, strict=False)]
    assert caught.count(Outcome.FAIL) >= 19
    sound = [
        judged(a, b).outcome for a, b in zip(plain, reversed(plain), strict=True) if a is not b
    ]
    assert Outcome.FAIL not in sound


def test_a_pass_of_other_texts_excludes_the_margin() -> None:
    right = np.random.default_rng(1).random(20_000) < 0.6
    a = evaluation(right, text=lambda at, good: f"{at} {good}")
    b = evaluation(right, text=lambda at, good: f"{at} {good}!")
    (metric,) = judged(a, b).metrics
    assert metric.outcome is Outcome.PASS
    assert metric.interval is not None
    assert metric.interval.low > -0.02
    assert judged(a, b, margin=0.0).outcome is Outcome.INCONCLUSIVE


def test_a_loss_that_is_called_detectable_is_detected_in_four_of_five() -> None:
    alpha, differing = 1e-3, 60
    loss = detectable_loss(prompts=PROMPTS, differing=differing, alpha=alpha)
    assert loss is not None
    share = (loss * PROMPTS / differing + 1) / 2
    losses = np.random.default_rng(2).binomial(differing, share, 4_000)
    power = np.mean([two_sided(int(n), differing - int(n)) <= alpha for n in losses])
    assert power == pytest.approx(0.8, abs=0.03)
    assert detectable_loss(prompts=12, differing=3, alpha=alpha) is None


def test_equal_texts_that_are_graded_differently_accuse_nobody() -> None:
    right = np.ones(100, dtype=bool)
    a = evaluation(right, text=lambda at, _: f"{at}")
    b = evaluation(~right, text=lambda at, _: f"{at}")
    (metric,) = judged(a, b).metrics
    assert metric.outcome is Outcome.INCONCLUSIVE
    assert metric.why == "100 equal texts are graded differently"


def test_what_was_not_graded_or_asked_alike_is_no_pass() -> None:
    right = np.ones(50, dtype=bool)
    a, b = (evaluation(right, text=lambda at, _: f"{at}") for _ in "ab")
    b["t"]["3"][1] = b["t"]["3"][1]._replace(scores={"acc": None})
    assert judged(a, b).metrics[0].why == "1 without a grade on both arms"
    b["t"]["3"][1] = a["t"]["3"][1]._replace(prompt="another")
    assert judged(a, b).missing == ("t/3",)
    assert judged(a, b).outcome is Outcome.INCONCLUSIVE
    del b["t"]["3"]
    assert judged(a, b).outcome is Outcome.INCONCLUSIVE


def test_a_task_of_one_arm_only_is_no_pass() -> None:
    one = evaluation(np.ones(9, dtype=bool), text=lambda at, _: f"{at}")
    two = one | {"more": one["t"]}
    assert judged(two, one).missing == ("task more",)
    assert judged(two, one).outcome is Outcome.INCONCLUSIVE
    with pytest.raises(SuiteError, match="no task is in both"):
        judged({"x": {}, "y": {}}, one)


def test_all_metrics_share_one_error_rate() -> None:
    right = np.ones(60, dtype=bool)
    lost = right.copy()
    lost[:11] = False
    a, b = (evaluation(each, text=lambda at, good: f"{at} {good}") for each in (right, lost))
    assert judged(a, b).outcome is Outcome.FAIL
    many = {f"t{at}": a["t"] for at in range(20)}, {f"t{at}": a["t"] for at in range(19)}
    found = judged(many[0], many[1] | {"t19": b["t"]})
    assert found.alpha == pytest.approx(1e-3 / 20)
    assert found.outcome is Outcome.INCONCLUSIVE


def test_means_over_epochs_have_an_interval_from_thirty_prompts_on() -> None:
    def arm(prompts: int, *, seed: int) -> Evaluation:
        chance = np.random.default_rng(seed)
        return {
            "t": {
                str(at): {
                    epoch: GradedAnswer("p", f"{seed}", {"acc": float(chance.random() < 0.7)})
                    for epoch in range(8)
                }
                for at in range(prompts)
            }
        }

    (few,) = judged(arm(29, seed=0), arm(29, seed=1)).metrics
    assert few.interval is None
    assert few.outcome is Outcome.INCONCLUSIVE
    (many,) = judged(arm(2_000, seed=0), arm(2_000, seed=1)).metrics
    assert many.interval is not None
    assert many.interval.low < 0 < many.interval.high
    assert many.outcome is Outcome.PASS
