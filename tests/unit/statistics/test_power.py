"""Wrong decoders are refuted, by the part and the stage that they break."""

from __future__ import annotations

import numpy as np
import pytest

from equivcheck.statistics.battery import Battery, evaluate
from tests.unit.statistics.tables import (
    Decoder,
    Distribution_,
    StepProbs,
    leak,
    lenience,
    make,
    recover_from_target,
    target,
    temperature,
    tilt,
)

ROUNDS = 60


def judged(decoder: Decoder, *, stages: bool = True, seed: int = 1) -> Battery:
    scores = make(decoder, seed=seed, rounds=ROUNDS)
    return evaluate(scores, alpha=1e-4, alpha_pass=1e-3, stages=stages)


@pytest.mark.parametrize(
    ("distribution", "kind"),
    [
        pytest.param(leak(0.1), "leak", id="leak"),
        pytest.param(lenience(0.8), "lenience", id="lenience"),
        pytest.param(temperature(1.1), "temperature", id="hot"),
        pytest.param(temperature(0.9), "temperature", id="cold"),
        pytest.param(tilt(0.3), "tilt", id="tilt"),
        pytest.param(recover_from_target, "recover-from-target", id="recover-from-target"),
    ],
)
def test_a_wrong_distribution_is_seen_in_the_output_alone(
    distribution: Distribution_, kind: str
) -> None:
    found = judged(Decoder(output=distribution), stages=False)
    assert found.failed_after is not None
    assert found.impossible.total == 0
    assert found.best_alternative is not None
    assert found.parts["output"].highest > max(
        found.parts["serial"].highest, found.parts["crossing"].highest
    )
    if kind in ("temperature", "recover-from-target"):
        assert found.best_alternative.startswith(kind)


def stingy(odds: StepProbs) -> StepProbs:
    return np.asarray(np.where(odds < 1, 0.9 * odds, 1.0))


def generous(odds: StepProbs) -> StepProbs:
    return np.minimum(1.0, odds / 0.8)


def draft(p: StepProbs, q: StepProbs) -> StepProbs:
    return q


@pytest.mark.parametrize(
    ("decoder", "stage"),
    [
        pytest.param(Decoder(accept=generous), "accept", id="accepts-too-much"),
        pytest.param(Decoder(accept=stingy), "accept", id="accepts-too-little"),
        pytest.param(Decoder(bonus=draft), "bonus", id="bonus-from-draft"),
    ],
)
def test_a_broken_stage_is_named(decoder: Decoder, stage: str) -> None:
    found = judged(decoder)
    assert found.failed_after is not None
    assert max(found.stages, key=lambda name: found.stages[name].highest) == stage


def cut(p: StepProbs, q: StepProbs) -> StepProbs:
    """Without the least likely tokens, to a mass of .05: a nucleus that is too small."""
    order = np.argsort(p, axis=1)
    below = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1) <= 0.05
    kept = p.copy()
    np.put_along_axis(kept, order, np.where(below, 0.0, np.take_along_axis(p, order, axis=1)), 1)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def test_a_tail_that_never_comes_is_seen_by_its_rank() -> None:
    found = judged(Decoder(output=cut), stages=False)
    assert found.broken_alone
    assert found.parts["output"].highest > 50.0


def test_recovering_from_the_target_is_refuted_by_the_output_and_told_of() -> None:
    found = judged(Decoder(recover=target))
    assert found.broken_alone
    assert found.best_alternative == "recover-from-target"
    assert found.void is not None
    assert set(found.void.events.counts) == {"recovered-impossible"}
    assert found.void.events.first is not None
    assert found.void.events.first.key.startswith("code/")
    stages = found.void.stages
    assert max(stages, key=lambda name: stages[name].highest) == "recovered"
    without = judged(Decoder(recover=target), stages=False)
    assert without.void is None
    assert without.failed_after is not None


@pytest.mark.parametrize(
    ("decoder", "part"),
    [
        pytest.param(Decoder(share_noise=True), "crossing", id="outputs-share-noise"),
        pytest.param(Decoder(repeat_noise=True), "serial", id="noise-used-again"),
    ],
)
def test_noise_used_twice_is_seen(decoder: Decoder, part: str) -> None:
    found = judged(decoder)
    assert found.failed_after is not None
    assert max(found.parts, key=lambda name: found.parts[name].highest) == part
