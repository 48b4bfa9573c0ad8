"""Rules of length and stopping that a bundle's script sees by ids alone."""

from __future__ import annotations

from typing import Any

import pytest

from equivcheck.pipeline.repeating import repeat
from equivcheck.pipeline.repeating.answers import RepeatedAnswer, Requests
from equivcheck.pipeline.repeating.rules import broken

FACTS = {"eos_token_ids": [0], "key": "few/a"}
DISTRIBUTION = {"min_new_tokens": 2, "banned_tokens": [9]}
REQUEST: dict[str, Any] = {
    "key": "few/a",
    "max_new_tokens": 4,
    "stop_token_ids": [8],
    "sampling": DISTRIBUTION,
}


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([1, 2, 3, 4], None),
        ([1, 2, 0], None),
        ([1, 2, 8], None),
        ([1, 2, 3, 4, 5], "5 tokens, 4 allowed"),
        ([1, 9, 3, 4], "token 1 is id 9, which is banned"),
        ([1, 0], "it stops at token 1; no stop id before token 2"),
        ([1, 2, 8, 3], "it goes on behind stop id 8 at token 2"),
        ([1, 2, 3], "it ends after 3 tokens, by no stop id and 4 allowed"),
        ([], "it ends after 0 tokens, by no stop id and 4 allowed"),
    ],
)
def test_each_rule(ids: list[int], said: str | None) -> None:
    assert broken(ids, REQUEST, FACTS) == said


def test_what_may_end_a_text_differs_by_request() -> None:
    assert broken([1, 2, 0, 3], REQUEST | {"ignore_eos": True}, FACTS) is None
    assert broken([1, 2, 3], REQUEST | {"stop": ["."]}, FACTS) is None


def test_a_sampled_case_is_drawn_until_a_rule_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    sampled = REQUEST | {"seed": 3, "sampling": DISTRIBUTION | {"temperature": 1.0}}
    seeds: list[int] = []

    def late(requests: Requests) -> dict[str, RepeatedAnswer]:
        seeds.append(requests[0]["seed"])
        return {"few/a": RepeatedAnswer([1] * (5 if len(seeds) == 3 else 4))}

    facts: dict[str, Any] = FACTS | {"requests": [sampled]}
    assert repeat.repeat_rules(facts, late, seed=1) == 1
    assert "THE BUG IS THERE: few/a: 5 tokens, 4 allowed" in capsys.readouterr().out
    assert seeds[0] == 3
    assert len(set(seeds)) == 3
    assert repeat.repeat_rules(facts, lambda _: {"few/a": RepeatedAnswer([1] * 4)}, seed=1) == 0
    assert "20 answers, and each keeps" in capsys.readouterr().out
