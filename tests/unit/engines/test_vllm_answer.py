from __future__ import annotations

from types import SimpleNamespace

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import DraftCounts, Request, TokenScore
from equivcheck.engines.vllm_answer import counts_of, scores_of, untouched


def test_counts_are_those_of_the_steps_that_drafted() -> None:
    metrics = SimpleNamespace(
        num_spec_tokens=4,
        num_draft_tokens=11,
        per_step_accepted=[0, 4, 2],
        per_step_drafted=[4, 4, 3],
    )
    assert counts_of(metrics) == DraftCounts(
        steps=3, drafted=11, accepted=6, accepted_by_slot=(2, 2, 1, 1)
    )
    assert counts_of(None) == DraftCounts(drafted=0, accepted=0, steps=0)


def test_the_rival_is_the_most_likely_other_token() -> None:
    def logprob(value: float) -> SimpleNamespace:
        return SimpleNamespace(logprob=value)

    # The drawn token comes along even where it is not among the most likely ones.
    first = {5: logprob(-3.0), 7: logprob(-0.2), 8: logprob(-1.5)}
    second = {7: logprob(-0.1), 8: logprob(-2.0)}
    assert scores_of((5, 7), [first, second]) == (
        TokenScore(logprob=-3.0, rival=7, rival_logprob=-0.2),
        TokenScore(logprob=-0.1, rival=8, rival_logprob=-2.0),
    )


@pytest.mark.parametrize(
    "changed",
    [
        Sampling(repetition_penalty=1.1),
        Sampling(presence_penalty=0.5),
        Sampling(frequency_penalty=0.5),
        Sampling(logit_bias={3: 1.0}),
        Sampling(banned_tokens=(3,)),
        Sampling(min_new_tokens=2),
    ],
)
def test_scores_are_left_out_where_something_changes_the_logits(changed: Sampling) -> None:
    request = Request(key="code/a", prompt_ids=(1,), max_new_tokens=4, sampling=changed)
    assert not untouched(request)
    assert untouched(Request(key="code/a", prompt_ids=(1,), max_new_tokens=4))
