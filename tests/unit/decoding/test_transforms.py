"""Transforms against transformers' own logits processors, and the algebra they have to keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.controls import SamplingControls
from equivcheck.decoding.transforms import (
    HIDDEN,
    Prefix,
    most_likely,
    penalise,
    penalise_window,
    probabilities,
    sharpen,
)

VOCAB = 50
NO_DRAFTS = torch.zeros(1, 0, dtype=torch.int64)


def controls_for(*samplings: Sampling, prompt: tuple[int, ...] = (1, 2, 3)) -> SamplingControls:
    controls = SamplingControls(rows=len(samplings), vocab=VOCAB, device=torch.device("cpu"))
    requests = [
        Request(key=f"t/{row}", prompt_ids=prompt, max_new_tokens=9, sampling=sampling)
        for row, sampling in enumerate(samplings)
    ]
    for row, request in enumerate(requests):
        controls.admit(row, request, stop_ids=(5,))
    controls.set_features(requests)
    return controls


def some_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3


def empty_prefix(rows: int) -> Prefix:
    return Prefix(torch.zeros(rows, VOCAB), torch.zeros(rows, dtype=torch.int64))


@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.2, 2.0),
    top_k=st.integers(1, VOCAB),
    top_p=st.floats(0.05, 0.99),
    min_p=st.floats(0.0, 0.5),
)
def test_truncation_agrees_with_transformers(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = some_logits(1, VOCAB, seed=seed)
    distribution = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    ours = sharpen(logits[:, None], controls_for(distribution))[:, 0]
    theirs = logits
    warpers: tuple[Any, ...] = (
        TemperatureLogitsWarper(temperature),
        TopKLogitsWarper(top_k),
        TopPLogitsWarper(top_p),
        MinPLogitsWarper(min_p),
    )
    for warper in warpers:
        theirs = warper(torch.ones(1, 1, dtype=torch.int64), theirs)
    left, right = ours.softmax(-1), theirs.softmax(-1)
    # At a border a token may fall either way, by rounding: such a token is the least likely kept.
    disagree = (left > 0) != (right > 0)
    assert disagree.sum() <= 1
    if not disagree.any():
        torch.testing.assert_close(left, right)


def test_neutral_parameters_change_no_bit() -> None:
    logits = some_logits(2, 3, VOCAB)
    controls = controls_for(Sampling(), Sampling(repetition_penalty=1.5))
    drafts = torch.tensor([[4, 5], [6, 7]])
    penalised = penalise_window(logits, controls, empty_prefix(2), drafts)
    assert torch.equal(penalised[0], logits[0])
    assert not torch.equal(penalised[1], logits[1])


def test_repetition_penalty_agrees_with_transformers() -> None:
    logits = some_logits(1, VOCAB)
    controls = controls_for(Sampling(repetition_penalty=1.3), prompt=(4, 8, 8, 20))
    prefix = empty_prefix(1).extended(torch.tensor([31])).extended(torch.tensor([32]))
    ours = penalise(logits, controls, prefix)
    seen = torch.tensor([[4, 8, 8, 20, 31, 32]])
    torch.testing.assert_close(ours, RepetitionPenaltyLogitsProcessor(1.3)(seen, logits.clone()))


def test_presence_counts_once_and_frequency_every_time_and_neither_the_prompt() -> None:
    logits = torch.zeros(1, VOCAB)
    controls = controls_for(Sampling(presence_penalty=0.5, frequency_penalty=0.25))
    prefix = empty_prefix(1)
    for token in (9, 9, 10):
        prefix = prefix.extended(torch.tensor([token]))
    penalised = penalise(logits, controls, prefix)[0]
    assert penalised[9] == -0.5 - 2 * 0.25
    assert penalised[10] == -0.5 - 0.25
    assert penalised[1] == 0


def test_bias_bans_and_minimum_length() -> None:
    sampling = Sampling(logit_bias={7: 2.0}, banned_tokens=(8,), min_new_tokens=2)
    controls = controls_for(sampling)
    logits = torch.zeros(1, 3, VOCAB)
    penalised = penalise_window(logits, controls, empty_prefix(1), torch.tensor([[20, 21]]))[0]
    assert penalised[0, 7] == 2.0
    assert (penalised[:, 8] == float("-inf")).all()
    assert penalised[:, 5].tolist() == [float("-inf"), float("-inf"), 0.0]


def test_each_slot_of_a_window_knows_the_drafts_before_it() -> None:
    logits = some_logits(1, 3, VOCAB)
    controls = controls_for(Sampling(repetition_penalty=2.0, frequency_penalty=1.0))
    drafts = torch.tensor([[20, 21]])
    window = penalise_window(logits, controls, empty_prefix(1), drafts)
    prefix = empty_prefix(1)
    for slot in range(3):
        assert torch.equal(window[:, slot], penalise(logits[:, slot], controls, prefix))
        if slot < 2:
            prefix = prefix.extended(drafts[:, slot])


def test_greedy_rows_are_point_masses_on_the_first_of_equal_maxima() -> None:
    logits = torch.zeros(2, 1, VOCAB)
    logits[:, :, [11, 12]] = 4.0
    probs = probabilities(logits, controls_for(Sampling(), Sampling(temperature=1.0)))
    assert probs[0, 0].nonzero().flatten().tolist() == [11]
    assert probs[0, 0, 11] == 1
    torch.testing.assert_close(probs[1, 0].sum(), torch.tensor(1.0))


def test_top_p_of_one_keeps_every_token_though_rounding_falls_short_of_one() -> None:
    logits = some_logits(1, 1, VOCAB) * 4
    controls = controls_for(Sampling(temperature=1.0, top_k=VOCAB, min_p=1e-30))
    assert torch.isfinite(sharpen(logits, controls)).all()


@pytest.mark.parametrize(
    "distribution", [Sampling(temperature=1.0, top_p=1e-9), Sampling(temperature=5.0, min_p=1.0)]
)
def test_the_most_likely_token_always_stays(distribution: Sampling) -> None:
    logits = some_logits(1, 1, VOCAB)
    kept = torch.isfinite(sharpen(logits, controls_for(distribution)))
    assert kept.sum() == 1
    assert kept[0, 0, logits.argmax()]


def test_a_row_forgets_its_last_request() -> None:
    controls = controls_for(Sampling(logit_bias={7: 9.0}, banned_tokens=(8,)))
    plain = Request(key="t/x", prompt_ids=(4,), max_new_tokens=1)
    controls.admit(0, plain, stop_ids=())
    logits = some_logits(1, VOCAB)
    assert torch.equal(penalise(logits, controls, empty_prefix(1)), logits)


@pytest.mark.parametrize("bias", [2.0**20, 2.0**30, 1e12])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 100.0])
def test_noise_decides_between_tokens_of_one_huge_bias(bias: float, temperature: float) -> None:
    distribution = Sampling(temperature=temperature, logit_bias={7: bias, 9: bias})
    controls = controls_for(distribution)
    logits = torch.zeros(1, 1, VOCAB)
    log_probs = sharpen(penalise_window(logits, controls, empty_prefix(1), NO_DRAFTS), controls)
    random = torch.Generator().manual_seed(3)
    noise = -torch.log(-torch.log(torch.rand((4000, VOCAB), generator=random)))
    came = (log_probs[0] + noise).argmax(dim=-1).bincount(minlength=VOCAB)
    assert came[7] + came[9] == 4000
    # Five standard deviations of 4,000 coins.
    assert abs(int(came[7]) - 2000) < 158


def test_a_huge_bias_changes_no_bit_of_other_rows_and_ordinary_ones_none_at_all() -> None:
    ordinary = Sampling(temperature=0.7, logit_bias={3: 100.0, 4: -100.0})
    logits = some_logits(2, 1, VOCAB)
    prefix, steep = empty_prefix(2), Sampling(temperature=0.7, logit_bias={7: 2.0**30})
    beside = controls_for(ordinary, steep)
    found = sharpen(penalise_window(logits, beside, prefix, NO_DRAFTS), beside)
    by_hand = penalise_window(logits, beside, prefix, NO_DRAFTS)[0] / torch.tensor(0.7)
    assert torch.equal(found[0], by_hand)
    assert found[1].amax() == 0


def test_a_greedy_row_of_a_huge_bias_keeps_its_logits() -> None:
    controls = controls_for(Sampling(logit_bias={7: 2.0**30}), Sampling(temperature=1.0))
    logits = penalise_window(some_logits(2, 1, VOCAB), controls, empty_prefix(2), NO_DRAFTS)
    assert torch.equal(sharpen(logits, controls)[0], logits[0])


@pytest.mark.parametrize("vocab", [5, 2**14, 2**14 + 1, 49_152, 50_257])
def test_the_first_of_the_largest_is_the_most_likely(vocab: int) -> None:
    """Equals are many: the numbers are few. The last is tried, too, and a row of one number."""
    generator = torch.Generator().manual_seed(vocab)
    weights = torch.randint(-3, 4, (2, 3, vocab), generator=generator).float()
    weights[0, 0, -1] = 9.0
    weights[1, 2] = HIDDEN
    found = most_likely(weights)
    assert torch.equal(found, torch.from_numpy(weights.numpy().argmax(axis=-1)))
    assert int(found[0, 0]) == vocab - 1
