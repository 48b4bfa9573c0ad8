from __future__ import annotations

from typing import Any

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.refusals import OF_PROMPT, REFUSABLE, lacking
from tests.unit.make import make_capabilities, make_request

PLAIN: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        (PLAIN, ()),
        ({"sampling": Sampling(min_p=0.1)}, ("min_p",)),
        ({"sampling": Sampling(min_p=0.1, banned_tokens=(3,))}, ("min_p", "banned_tokens")),
        ({"stop": ("x",)}, ("stop",)),
        ({"ignore_eos": True, "stop_token_ids": (4,)}, ("stop_token_ids", "ignore_eos")),
        # A seed is what every request has.
        ({"seed": 5}, ()),
    ],
)
def test_only_what_a_case_says_can_be_refused(fields: dict[str, Any], needs: tuple[str]) -> None:
    said = [name for name in REFUSABLE if name not in OF_PROMPT]
    told = make_capabilities(refuses=(*said, "seed", "unheard_of"))
    assert lacking(told, make_request(**fields)) == needs


@pytest.mark.parametrize(
    ("sampling", "needs"),
    [
        (Sampling(temperature=2.0), ()),
        (Sampling(temperature=2.5), ("temperature=2.5",)),
        (Sampling(presence_penalty=-2.5), ("presence_penalty=-2.5",)),
        # What is at its default is not asked for.
        (Sampling(top_k=0), ()),
        (Sampling(logit_bias={3: 5.0, 4: -101.0, 5: 200.0}), ("logit_bias=-101", "logit_bias=200")),
    ],
)
def test_values_outside_the_range_are_refused(sampling: Sampling, needs: tuple[str]) -> None:
    told = make_capabilities(
        ranges={
            "temperature": (0.0, 2.0),
            "presence_penalty": (-2.0, 2.0),
            "top_k": (1.0, 100.0),
            "logit_bias": (-100.0, 100.0),
            "unheard_of": (0.0, 1.0),
        }
    )
    assert lacking(told, make_request(sampling=sampling)) == needs


def test_what_is_refused_and_out_of_range_is_said_as_both() -> None:
    told = make_capabilities(refuses=("min_p",), ranges={"temperature": (0.0, 1.0)})
    request = make_request(sampling=Sampling(temperature=1.5, min_p=0.2))
    assert lacking(told, request) == ("min_p", "temperature=1.5")


def test_what_is_served_by_itself_can_be_refused_together() -> None:
    told = make_capabilities(refuses=("min_p+top_p", "min_new_tokens+stop"))
    both = make_request(sampling=Sampling(temperature=1.0, min_p=0.1, top_p=0.9))
    assert lacking(told, both) == ("min_p+top_p",)
    assert lacking(told, make_request(sampling=Sampling(temperature=1.0, min_p=0.1))) == ()
    assert lacking(told, make_request(sampling=Sampling(temperature=1.0, top_p=0.9))) == ()
    held = make_request(sampling=Sampling(min_new_tokens=3), stop=("x",))
    assert lacking(told, held) == ("min_new_tokens+stop",)
