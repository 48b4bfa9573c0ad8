"""The id that ended a text is put back where an engine leaves it out."""

from __future__ import annotations

import pytest

from equivcheck.checks.counters import faults_of
from equivcheck.core.generation import Generation, Step
from equivcheck.engines.ends import ended
from tests.unit.make import EOS, make_capabilities, make_generation, make_steps

TOLD = make_capabilities(num_speculative_tokens=2, reports_steps=True)


def cut(*steps: Step, tokens: int = 3) -> Generation:
    return make_generation(range(10, 10 + tokens), finish_reason="eos", steps=steps)


@pytest.mark.parametrize(
    ("steps", "becomes"),
    [
        ((), ()),
        # Its last step told what it drew and could not name.
        (make_steps((2, 1, 2), (2, 1, 1)), make_steps((2, 1, 2), (2, 1, 2))),
        # An accepted draft ended the text.
        (make_steps((2, 2, 3), (2, 2, 0)), make_steps((2, 2, 3), (2, 2, 1))),
        # The step of the end is not told.
        (make_steps((2, 2, 3)), make_steps((2, 2, 3), (0, 0, 1))),
        # The end is counted already.
        (make_steps((2, 1, 2), (2, 1, 2)), make_steps((2, 1, 2), (2, 1, 2))),
    ],
)
def test_the_end_is_one_token_more_in_the_step_that_drew_it(
    steps: tuple[Step, ...], becomes: tuple[Step, ...]
) -> None:
    found = ended(cut(*steps), EOS)
    assert found.token_ids == (10, 11, 12, EOS)
    assert found.steps == becomes
    if steps:
        assert list(faults_of(found, TOLD)) == []


def test_what_does_not_need_it_is_left_alone() -> None:
    for answer in (
        make_generation((5, EOS), finish_reason="eos"),
        make_generation((5, 6), finish_reason="length"),
        make_generation((5, 6), finish_reason="stop"),
    ):
        assert ended(answer, EOS) is answer
    assert ended(make_generation((), finish_reason="eos"), EOS).token_ids == (EOS,)


def test_scores_that_lack_the_end_are_left_out() -> None:
    scores = [(-1.0, 4, -2.0)] * 3
    short = make_generation((5, 6, 7), finish_reason="eos", scores=scores, logit_digests=(1, 2, 3))
    found = ended(short, EOS)
    assert (found.scores, found.logit_digests) == (None, None)
    whole = make_generation((5, 6), finish_reason="eos", scores=scores)
    assert ended(whole, EOS).scores == whole.scores
