"""Every rule on the real decode loop: greedy tokens are plain decoding's, whatever is drafted.

Of as many drafts as a row and a step have: up to 15 in steps of 16, or other numbers row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from equivcheck.core.generation import Generation
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import Proposal, VerificationRule
from equivcheck.engines.native_options import RULE_CLASSES, RuleName
from tests.unit.decoding.models import decode, make_decoder, make_requests, static
from tests.unit.decoding.test_identity import assert_same_bits

ROWS = 4
REQUESTS = make_requests(12, tokens=28)
GREEDY = [request for request in REQUESTS if request.sampling.greedy]
SAMPLED = [request for request in REQUESTS if not request.sampling.greedy]


class RaggedDrafter(ModelDrafter):
    """Drafts another number of tokens in each row and step, 0 included."""

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        proposal = super().propose(rows, rule, gamma=gamma, unread=unread)
        places = torch.arange(len(rows.length)) * 3 + rows.length
        return proposal._replace(lengths=torch.minimum(proposal.lengths, places % (gamma + 1)))


@functools.cache
def plain(width: int) -> dict[str, Generation]:
    return decode(make_decoder(rows=ROWS, width=width), REQUESTS)


def of(found: dict[str, Generation], requests: Sequence[object]) -> dict[str, Generation]:
    keys = {request.key for request in requests}  # type: ignore[attr-defined]
    return {key: generation for key, generation in found.items() if key in keys}


@pytest.mark.parametrize(
    ("gamma", "width", "ragged"), [(4, 8, True), (15, 16, False)], ids=["ragged", "wide"]
)
@pytest.mark.parametrize("name", RULE_CLASSES)
def test_greedy_tokens_are_those_of_plain_decoding(
    name: RuleName, gamma: int, width: int, ragged: bool
) -> None:
    kind = RaggedDrafter if ragged else ModelDrafter
    drafter = kind(static(noise=0.08), rows=ROWS)
    rule = RULE_CLASSES[name]()
    decoder = make_decoder(drafter, gamma=gamma, width=width, rows=ROWS, rule=rule)
    drafted = decode(decoder, REQUESTS)
    assert_same_bits(of(plain(width), GREEDY), of(drafted, GREEDY))
    steps = [step for generation in drafted.values() for step in generation.steps]
    assert max(step.drafted for step in steps) == gamma
    assert {step.drafted for step in steps} >= (set(range(gamma + 1)) if ragged else {gamma})
    assert max(step.accepted for step in steps) > 1
    if name in ("greedy", "coupled", "agreement"):
        # Sampled ones, too: the target draws by itself.
        assert_same_bits(of(plain(width), SAMPLED), of(drafted, SAMPLED))


def test_all_fifteen_drafts_of_a_step_of_sixteen_are_accepted_if_they_are_good() -> None:
    """By the target for a drafter, so that no slot goes without."""
    drafter = ModelDrafter(static(), rows=ROWS)
    decoder = make_decoder(drafter, gamma=15, width=16, rows=ROWS, rule=RULE_CLASSES["block"]())
    steps = [step for each in decode(decoder, REQUESTS).values() for step in each.steps]
    assert (15, 15) in {(step.drafted, step.accepted) for step in steps}


def test_a_row_near_its_limit_drafts_what_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    rule = RULE_CLASSES["block"]()
    verify = rule.verify

    def watched(log_probs: Tensor, proposal: Proposal, rows: Rows) -> object:
        seen.append(proposal.lengths.clone())
        return verify(log_probs, proposal, rows)

    monkeypatch.setattr(rule, "verify", watched)
    decode(
        make_decoder(ModelDrafter(static(noise=0.08), rows=ROWS), rows=ROWS, rule=rule), REQUESTS
    )
    assert {int(length) for lengths in seen for length in lengths} == set(range(5))
