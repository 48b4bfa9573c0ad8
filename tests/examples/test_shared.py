"""What adapters share: the control decodes as it must, and outputs end where they have to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from equivcheck.core.generation import Request
from equivcheck_examples.one_at_a_time import Round, cut, last
from equivcheck_examples.sound import step

WORDS, DRAWS = 6, 6000
ROUNDS = [Round(4, 2, 3), Round(4, 0, 1), Round(4, 4, 5)]


def table(seed: int, *, heat: float) -> Any:
    """A model whose logits hang on the last token alone."""
    logits = torch.randn(WORDS, WORDS, generator=torch.Generator().manual_seed(seed)) * heat
    return lambda ids: SimpleNamespace(logits=logits[ids])


def ends(target: Any, place: int, temperature: float) -> torch.Tensor:
    """The distribution of the token at a place behind token 0, by powers of the target's matrix."""
    rows = torch.softmax(target(torch.arange(WORDS)[None]).logits[0] / temperature, -1)
    distribution: torch.Tensor = torch.linalg.matrix_power(rows.double(), place + 1)[0]
    return distribution / distribution.sum()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_control_draws_by_the_targets_distribution(place: int) -> None:
    target, draft = table(1, heat=1.5), table(2, heat=1.5)
    torch.manual_seed(place)
    counts = torch.zeros(WORDS)
    for _ in range(DRAWS):
        ids = torch.zeros(1, 1, dtype=torch.long)
        while ids.shape[1] < place + 2:
            tokens, _ = step(target, draft, ids, gamma=2, temperature=0.8)
            ids = torch.cat([ids, torch.tensor([tokens])], 1)
        counts[ids[0, place + 1]] += 1
    expected = ends(target, place, 0.8)
    assert chisquare(counts.double().numpy(), (expected * DRAWS).numpy()).pvalue > 1e-4
    wrong = ends(draft, place, 0.8)
    assert chisquare(counts.double().numpy(), (wrong * DRAWS).numpy()).pvalue < 1e-9


def test_at_temperature_0_the_control_takes_the_targets_best() -> None:
    target, draft = table(1, heat=1.5), table(2, heat=1.5)
    ids = torch.zeros(1, 1, dtype=torch.long)
    tokens, accepted = step(target, draft, ids, gamma=3, temperature=0.0)
    expected, last_token = [], 0
    for _ in tokens:
        last_token = int(target(torch.tensor([[last_token]])).logits[0, -1].argmax())
        expected.append(last_token)
    assert tokens == expected
    assert accepted == len(tokens) - 1


@pytest.mark.parametrize(
    ("length", "emitted"), [(9, [3, 1, 5]), (4, [3, 1]), (6, [3, 1, 2]), (0, [])]
)
def test_steps_are_cut_with_the_output(length: int, emitted: list[int]) -> None:
    tokens, rounds = cut(list(range(9)), ROUNDS, length=length)
    assert tokens == list(range(length))
    assert [each.emitted for each in rounds] == emitted


@pytest.mark.parametrize(
    ("tokens", "stops", "length"),
    [((5, 6, 7), (9,), 3), ((5, 9, 7), (9,), 2), ((5, 6, 7, 8, 9), (9,), 4), ((), (9,), 0)],
)
def test_an_output_ends_at_its_first_stop_or_its_limit(
    tokens: tuple[int, ...], stops: tuple[int, ...], length: int
) -> None:
    request = Request(key="a/b", prompt_ids=(1,), max_new_tokens=4)
    assert last(tokens, request, stops) == length
