"""Draws judged by their tokens: plain differences fail early, small ones are not claimed away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from equivcheck.checks.tokens_alone import check
from equivcheck.checks.verdict import judge
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import Settings
from equivcheck.records.records import SAMPLED, SAMPLED_TARGET, Evidence, Preflight
from equivcheck.statistics.black_box import ALPHA, POSITIONS, compare
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_request

VOCABULARY, CASES, LENGTH = 40, 12, 20
Draws = dict[str, list[tuple[int, ...]]]


def distributions(seed: int = 0) -> np.ndarray:
    """A distribution a case and position, [cases, length, vocabulary]."""
    scores = np.random.default_rng(seed).normal(scale=1.5, size=(CASES, LENGTH, VOCABULARY))
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def draw(distribution: np.ndarray, *, outputs: int, seed: int) -> Draws:
    random = np.random.default_rng(seed)
    return {
        f"chat/{case}": [
            tuple(int(random.choice(VOCABULARY, p=distribution[case, at])) for at in range(LENGTH))
            for _ in range(outputs)
        ]
        for case in range(CASES)
    }


def paired(
    one: Draws, other: Draws
) -> dict[str, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]]:
    return {key: (one[key], other[key]) for key in one}


def hotter(distribution: np.ndarray) -> np.ndarray:
    powered = distribution**0.5
    return np.asarray(powered / powered.sum(axis=2, keepdims=True))


def test_two_halves_of_one_distribution_are_not_told_apart() -> None:
    p_values = [
        compare(
            paired(
                draw(distributions(), outputs=10, seed=s),
                draw(distributions(), outputs=10, seed=s + 50),
            )
        ).p_value
        for s in range(4)
    ]
    assert min(p_values) > ALPHA
    assert np.mean(p_values) > 0.2


def test_another_distribution_is_found_in_a_few_hundred_tokens() -> None:
    found = compare(
        paired(draw(distributions(1), outputs=4, seed=1), draw(distributions(2), outputs=4, seed=2))
    )
    assert found.outputs * POSITIONS / 2 <= 800
    assert found.p_value < ALPHA


def test_a_hotter_distribution_takes_more() -> None:
    few, many = (
        compare(
            paired(
                draw(distributions(), outputs=n, seed=3),
                draw(hotter(distributions()), outputs=n, seed=4),
            )
        )
        for n in (4, 30)
    )
    assert many.p_value < ALPHA
    assert many.detectable < few.detectable


def test_the_same_draws_give_the_same_numbers() -> None:
    pairs = paired(
        draw(distributions(), outputs=6, seed=5), draw(distributions(), outputs=6, seed=6)
    )
    assert compare(pairs) == compare(pairs)


def test_single_outputs_say_nothing() -> None:
    found = compare({"chat/0": ([(1, 2)], [(3, 4)])})
    assert (found.prompts, found.p_values, found.p_value) == (0, {}, 1.0)


def test_the_statistic_is_the_kernel_matrix_s() -> None:
    """The count form against the definition over pairs of outputs."""
    ours, theirs = [(1, 2), (1, 3), (2, 2)], [(1, 2), (4, 4)]

    def same(one: Sequence[int], other: Sequence[int]) -> float:
        return sum(a == b for a, b in zip(one, other, strict=True)) + (POSITIONS - 2)

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    within = [
        mean([same(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j])
        for side in (ours, theirs)
    ]
    across = mean([same(a, b) for a in ours for b in theirs])
    from equivcheck.statistics.black_box import _Prompt

    prompt = _Prompt(ours, theirs)
    assert prompt.statistics(prompt.labels[None])[0, 0] == pytest.approx(sum(within) - 2 * across)


def judged(
    candidate: Callable[[], Draws], *, outputs: int = 40, budget: int = 2000, target: int = 9
) -> Finding:
    one, other = candidate(), draw(distributions(), outputs=outputs, seed=target)
    (finding,) = check(evidence_of(one, other, budget=budget))
    return finding


def evidence_of(one: Draws, other: Draws, *, budget: int) -> Evidence:
    cases = list(one)
    base = make_evidence(
        {"target": [make_generation(key=key) for key in cases]},
        requests=[make_request(key, sampling=Sampling(temperature=1.0)) for key in cases],
        arms={
            "target": make_capabilities(),
            SAMPLED: make_capabilities(rule="rejection"),
            SAMPLED_TARGET: make_capabilities(),
        },
        planned={"target": cases, SAMPLED: cases},
        settings=Settings(law_evidence="tokens"),
    )
    draws = {
        arm: {
            f"{key}#{index}": make_generation(tokens, key=f"{key}#{index}")
            for key, given in of_arm.items()
            for index, tokens in enumerate(given, 1)
        }
        for arm, of_arm in ((SAMPLED, one), (SAMPLED_TARGET, other))
    }
    ahead = Preflight(positions=0, draft_distance=0.0, divergences={}, tokens=budget)
    return msgspec.structs.replace(base, preflight=ahead, draws=draws)


def test_a_pass_claims_only_what_tokens_can_tell() -> None:
    finding = judged(lambda: draw(distributions(), outputs=40, seed=8))
    assert (finding.outcome, finding.reason) == (Outcome.PASS, Reason.DISTRIBUTION_HELD)
    assert finding.headline.endswith("by their tokens alone")
    assert any("spread over many tokens" in line for line in finding.details)
    assert finding.n == 40 * CASES * LENGTH


def test_the_verdict_claims_no_distribution() -> None:
    one, other = (draw(distributions(), outputs=40, seed=seed) for seed in (8, 9))
    headline = judge(evidence_of(one, other, budget=2000)).headline
    assert "drew 9,600 tokens that do not differ visibly from the target's" in headline


def test_another_distribution_fails() -> None:
    finding = judged(lambda: draw(distributions(7), outputs=4, seed=8), outputs=4)
    assert (finding.outcome, finding.reason) == (Outcome.FAIL, Reason.DISTRIBUTION_BROKEN)
    assert "differs from the target's in" in finding.headline


def test_a_budget_that_is_not_spent_is_no_pass() -> None:
    finding = judged(lambda: draw(distributions(), outputs=40, seed=8), budget=50_000)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_SAMPLED)


def test_a_case_that_was_hardly_drawn_is_no_pass() -> None:
    finding = judged(lambda: draw(distributions(), outputs=2, seed=8), outputs=2)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "drew every case in 2 rounds, 4 needed" in finding.headline


def test_a_target_that_ends_a_little_earlier_does_not_leave_the_budget_unspent() -> None:
    one, other = (draw(distributions(), outputs=40, seed=seed) for seed in (8, 9))
    other["chat/0"][0] = other["chat/0"][0][:-1]
    (finding,) = check(evidence_of(one, other, budget=40 * CASES * LENGTH))
    assert finding.outcome is Outcome.PASS


def test_too_few_draws_to_see_much_are_no_pass() -> None:
    finding = judged(lambda: draw(distributions(), outputs=10, seed=8), outputs=10)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.UNDERPOWERED)
    assert "2,400 tokens are too few; it would take about" in finding.headline


def test_rounds_that_are_not_whole_are_left_out() -> None:
    one, other = (draw(distributions(), outputs=5, seed=seed) for seed in (8, 9))
    # What an interrupted round leaves: the short outputs, which came first.
    torn = {key: [*outputs, (7,)] if key == "chat/3" else outputs for key, outputs in one.items()}
    whole, cut = (check(evidence_of(arm, other, budget=2000)) for arm in (one, torn))
    assert cut == whole


@pytest.mark.parametrize(("length", "outputs"), [(POSITIONS, 12), (2, 200)])
def test_what_is_said_to_be_visible_is_seen(length: int, outputs: int) -> None:
    def drawn(distribution: np.ndarray, *, seed: int) -> Draws:
        whole = draw(distribution, outputs=outputs, seed=seed)
        return {key: [each[:length] for each in rows] for key, rows in whole.items()}

    seen = 0
    for seed in range(2):
        distribution = distributions(seed)
        base = drawn(distribution, seed=seed)
        visible = compare(paired(base, drawn(distribution, seed=seed + 50))).detectable
        moved = distribution.copy()
        highest, second = np.argsort(-distribution, axis=2)[:, :, :2].transpose(2, 0, 1)[..., None]
        share = np.minimum(visible, np.take_along_axis(distribution, highest, axis=2))
        np.put_along_axis(
            moved, highest, np.take_along_axis(distribution, highest, 2) - share, axis=2
        )
        np.put_along_axis(
            moved, second, np.take_along_axis(distribution, second, 2) + share, axis=2
        )
        found = compare(paired(drawn(moved, seed=seed + 90), base))
        seen += found.p_value < ALPHA
    assert seen == 2
