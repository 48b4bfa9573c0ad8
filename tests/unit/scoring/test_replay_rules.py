"""Tokens of every rule, replayed, and those of a rule that is not the one declared."""

from __future__ import annotations

import pytest

from equivcheck.core.rules import Rule
from equivcheck.core.settings import EngineSetup
from tests.unit.scoring.test_replay import drawn, judged, scored

OTHER_RULES = ("one-hot", "agreement", "block")


@pytest.mark.parametrize("rule", OTHER_RULES)
def test_tokens_of_every_rule_come_as_they_must(rule: Rule, setup: EngineSetup) -> None:
    drafter = "model" if rule == "block" else "one-hot"
    draws = drawn(f"native:gamma=4,rule={rule}", setup)
    found = judged(scored(draws, setup, rule=rule, drafter=drafter))
    assert (found.wrong, found.flipped) == (0, 0)
    assert found.replayed + sum(found.left_out.values()) == found.tokens
    # Of a block the accepted drafts hang on rejected ones, too.
    assert found.replayed > 300 if rule == "block" else found.replayed == found.tokens


@pytest.mark.parametrize(("drawn_by", "told"), [("block", "rejection"), ("rejection", "block")])
def test_another_rule_than_the_one_told_shows(
    drawn_by: Rule, told: Rule, setup: EngineSetup
) -> None:
    """Both are lossless; drafts contradict q then, but the engine's own word bears it out."""
    draws = drawn(f"native:gamma=4,rule={drawn_by}", setup)
    for void in (False, True):
        assert judged(scored(draws, setup, rule=told), void=void).wrong > 20


@pytest.mark.parametrize(
    "fault",
    ["block-residual-of-token", "block-coins-of-tokens", "block-product-not-carried"],
)
def test_so_does_a_fault_of_block_verification(fault: str, setup: EngineSetup) -> None:
    draws = drawn(f"native:gamma=4,rule=block,fault={fault}", setup)
    found = judged(scored(draws, setup, rule="block"), void=True)
    assert found.first is not None
    assert found.first.row < 200
