"""Power: faults of heads draft other tokens than plain torch says, and answer as the target does.

On a random target with a random head. With the bundled pair's, by acceptance: equivcheck faults.
"""

from __future__ import annotations

import functools

import pytest
import torch

from equivcheck.core.generation import Generation
from equivcheck.decoding.decoder import Decoder
from equivcheck.engines.naming import EngineSpec
from equivcheck.faults.catalogue import CATALOGUE
from equivcheck.faults.fault import Fault
from tests.unit.decoding.head_models import (
    KINDS,
    Watched,
    expected_logits,
    head_decoder,
    head_drafter,
    hot_requests,
)
from tests.unit.decoding.models import decode

NEAR = 1e-3


def kind_of(entry: Fault) -> str:
    return EngineSpec.parse(entry.engine).options.get("drafter", "")


FAULTS = [entry for entry in CATALOGUE if kind_of(entry) in KINDS and entry.breaks == "speed"]


@functools.cache
def plain() -> dict[str, Generation]:
    return decode(head_decoder(None, kind=Decoder), hot_requests(6))


def drafted_otherwise(entry: type[Decoder], kind: str) -> tuple[bool, dict[str, Generation]]:
    """Whether any draft's logits are not those of plain torch, by their differences; answers."""
    decoder = head_decoder(head_drafter(kind, rows=4), kind=type("Noted", (Watched, entry), {}))
    answers = decode(decoder, hot_requests(6))
    assert isinstance(decoder, Watched)
    assert len(decoder.asked) > 20
    for text, tokens, log_probs in decoder.asked[-12:]:
        expected = expected_logits(kind, text, tokens)
        if not torch.equal(expected.isfinite(), log_probs.isfinite()):
            return True, answers
        known = expected.isfinite()
        wanted = expected[known] - expected[known].mean()
        found = log_probs[known] - log_probs[known].mean()
        # Over a temperature, by which the distribution is known but for a factor.
        if (wanted / wanted.std() - found / found.std()).abs().max() > NEAR:
            return True, answers
    return False, answers


@pytest.mark.parametrize("entry", FAULTS, ids=lambda entry: entry.id)
def test_a_fault_of_a_head_is_in_its_drafts_and_in_no_token(entry: Fault) -> None:
    otherwise, answers = drafted_otherwise(entry.decoder, kind_of(entry))
    assert otherwise
    for key, answer in plain().items():
        assert answers[key].token_ids == answer.token_ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_head_drafts_what_it_should(kind: str) -> None:
    otherwise, answers = drafted_otherwise(Decoder, kind)
    assert not otherwise
    assert {key: each.token_ids for key, each in answers.items()} == {
        key: each.token_ids for key, each in plain().items()
    }


def test_there_are_faults_of_both_kinds() -> None:
    assert {kind_of(entry) for entry in FAULTS} == {*KINDS}
