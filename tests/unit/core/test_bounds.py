"""What no decoder can mean is named with field, value and bound; what is merely wrong is not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from equivcheck.core.bounds import (
    MOST_DRAFTED,
    MOST_OVERRUN,
    RequestLimits,
    out_of_bounds,
    too_long,
)
from equivcheck.core.generation import Step
from tests.unit.make import make_generation, make_steps

LIMITS = RequestLimits(tokens=4, prompt=3)
GOOD = make_generation(
    range(4), steps=make_steps((2, 1), (2, 1)), scores=[(-0.5, 1, -2.0)] * 4, total_seconds=1.0
)
TIMED = Step(drafted=1, accepted=0, emitted=1, seconds=-1.0)
MEANT = {
    "a draft too many": {"steps": make_steps((3, 1), (3, 1))},
    "the bonus token counts as accepted": {"steps": make_steps((2, 3, 3), (2, 0))},
    "a sentinel of no drafts": {"steps": make_steps((2, -1, 1), (2, 2))},
    "a sum that does not add up": {"steps": make_steps((2, 2), (2, 2))},
    "a step that emits nothing": {"steps": make_steps((2, 1), (2, 1, 0))},
    "no steps": {"steps": ()},
    "a limit overrun by a block": {"token_ids": (1,) * (4 + MOST_OVERRUN)},
    "an id outside the vocabulary": {"token_ids": (-1, 10**9)},
}
MEANINGLESS: dict[str, tuple[dict[str, Any], str]] = {
    "many drafts": (
        {"steps": make_steps((10**8, 0))},
        f"steps[0].drafted is 100000000, outside 0 to {MOST_DRAFTED}",
    ),
    "steps that are none": ({"steps": ((1, 1, 1),)}, "steps[0] is of type tuple, not Step"),
    "scores that are none": (
        {"scores": ((-0.5, 1, -2.0),)},
        "scores[0] is of type tuple, not TokenScore",
    ),
    "more digits than can be said": (
        {"prompt_tokens": 10**5000},
        "prompt_tokens is a number of 16610 bits, outside 0 to 2147483647",
    ),
    "q of a draft that is no number": (
        {"steps": (Step(drafted=1, accepted=1, emitted=2, draft_logprobs=(math.nan,)),)},
        "steps[0].draft_logprobs is not finite",
    ),
    "a weight of nothing": (
        {"steps": (Step(drafted=1, accepted=0, emitted=1, residual_log_weight=-math.inf),)},
        "steps[0].residual_log_weight is not finite",
    ),
    "q of many drafts": (
        {"steps": (Step(drafted=1, accepted=1, emitted=2, draft_logprobs=(0.0,) * 1025),)},
        f"steps[0].draft_logprobs has 1025 entries, more than {MOST_DRAFTED}",
    ),
    "drafts below none": (
        {"steps": make_steps((0, 0), (-1, 0))},
        f"steps[1].drafted is -1, outside 0 to {MOST_DRAFTED}",
    ),
    "accepted below none": (
        {"steps": make_steps((2, -2))},
        "steps[0].accepted is -2, outside -1 to 3",
    ),
    "accepted from nowhere": (
        {"steps": make_steps((2, 4))},
        "steps[0].accepted is 4, outside -1 to 3",
    ),
    "emitted from nowhere": (
        {"steps": make_steps((2, 1, 10**8))},
        "steps[0].emitted is 100000000, outside 0 to 3",
    ),
    "an endless answer": (
        {"token_ids": (1,) * 10**7},
        f"token_ids has 10000000 entries, more than the 4 tokens asked for and one block of "
        f"{MOST_OVERRUN}",
    ),
    "endless steps": (
        {"steps": make_steps((0, 0)) * 5000},
        f"steps has 5000 entries, more than the 4 tokens asked for and one block of {MOST_OVERRUN}",
    ),
    "another prompt": (
        {"prompt_tokens": 10**9},
        "prompt_tokens is 1000000000, but the prompt has 3",
    ),
    "a token of many digits": (
        {"token_ids": (1, 10**5000)},
        "token_ids[1] is a number of 16610 bits, outside -2147483648 to 2147483647",
    ),
    "a fingerprint too wide": (
        {"logit_digests": (2**64,)},
        f"logit_digests[0] is {2**64}, outside {-(2**63)} to {2**64 - 1}",
    ),
    "a score that is none": (
        {"scores": make_generation(scores=[(math.nan, 1, -2.0)]).scores},
        "scores[0] is nan, -2.0: not finite",
    ),
    "time without end": (
        {"total_seconds": math.inf},
        "total_seconds is inf, not a finite number of seconds from 0 on",
    ),
    "time that runs back": (
        {"steps": (TIMED,)},
        "steps[0].seconds is -1.0, not a finite number of seconds from 0 on",
    ),
}


def test_an_ordinary_answer_lies_inside() -> None:
    assert out_of_bounds(GOOD, LIMITS) is None


@pytest.mark.parametrize("fields", MEANT.values(), ids=MEANT)
def test_what_is_wrong_but_meant_is_left_to_checks(fields: dict[str, Any]) -> None:
    assert out_of_bounds(replace(GOOD, **fields), LIMITS) is None


@pytest.mark.parametrize(("fields", "told"), MEANINGLESS.values(), ids=MEANINGLESS)
def test_what_no_decoder_can_mean_is_named(fields: dict[str, Any], told: str) -> None:
    assert out_of_bounds(replace(GOOD, **fields), LIMITS) == told


def test_where_the_request_is_not_known_its_bounds_are_not_held() -> None:
    assert out_of_bounds(replace(GOOD, prompt_tokens=7), RequestLimits()) is None


def test_what_has_no_length_is_not_too_long() -> None:
    assert too_long(replace(GOOD, token_ids=3, steps=None), LIMITS) is None
