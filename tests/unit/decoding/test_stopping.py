"""Stop rules: EOS at every slot, stop strings across token borders, limits of 1 to gamma + 1."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.stopping import StopRules
from tests.unit.decoding.models import (
    EOS,
    decode,
    detokenise,
    make_decoder,
    make_requests,
    model_drafter,
)


def rules(**changes: object) -> StopRules:
    request = Request(key="t/0", prompt_ids=(1,), max_new_tokens=10)
    request = msgspec.structs.replace(request, **changes)
    return StopRules(request, eos_token_ids=(EOS,), detokenise=detokenise)


@pytest.mark.parametrize("slot", range(6))
def test_an_eos_cuts_the_block_at_every_slot(slot: int) -> None:
    watch = rules()
    block = [10] * slot + [EOS] + [11] * (5 - slot)
    assert watch.take(block) == "eos"
    assert watch.output == [10] * slot + [EOS]


def test_an_ignored_eos_does_not_stop() -> None:
    watch = rules(ignore_eos=True)
    assert watch.take([EOS, EOS]) is None


def test_a_stop_string_may_cross_a_token_border_and_a_block_border() -> None:
    # Tokens 27 and 54 read "bb" and "cc": "bcc" ends inside the second.
    watch = rules(stop=("bcc",))
    assert watch.take([10, 27]) is None
    assert watch.take([54, 11]) == "stop"
    assert watch.output == [10, 27, 54]


def test_a_stop_goes_before_the_limit_it_meets() -> None:
    assert rules(max_new_tokens=2, stop_token_ids=(9,)).take([8, 9]) == "stop"
    assert rules(max_new_tokens=2).take([8, EOS]) == "eos"


@pytest.mark.parametrize("limit", range(1, 7))
def test_the_limit_holds_inside_a_block(limit: int) -> None:
    watch = rules(max_new_tokens=limit)
    assert watch.take([10] * 6) == "length"
    assert len(watch.output) == limit


@pytest.mark.parametrize("limit", range(1, 9))
def test_limits_around_gamma_through_the_decoder(limit: int) -> None:
    requests = make_requests(6, tokens=limit)
    plain = decode(make_decoder(), requests)
    drafted = decode(make_decoder(model_drafter(rows=4)), requests)
    for key, generation in plain.items():
        assert drafted[key].token_ids == generation.token_ids
        assert len(generation.token_ids) <= limit
        steps = drafted[key].steps
        assert sum(step.emitted for step in steps) == len(generation.token_ids)
        # A draft that could not be emitted any more is never made.
        assert all(step.drafted <= limit - 1 for step in steps)


@pytest.mark.parametrize("index", range(8))
def test_an_eos_at_any_output_position_ends_both_arms_there(index: int) -> None:
    """Declare the token that is generated at `index` to be an EOS."""
    request = msgspec.structs.replace(make_requests(2, tokens=30)[1], sampling=Sampling())
    free = decode(make_decoder(eos=()), [request])[request.key].token_ids
    first = free.index(free[index])
    for drafter in (None, model_drafter(rows=4)):
        ended = decode(make_decoder(drafter, eos=(free[index],)), [request])[request.key]
        assert ended.token_ids == free[: first + 1]
        assert ended.finish_reason == "eos"


def test_minimum_length_bans_the_eos_until_reached() -> None:
    request = msgspec.structs.replace(make_requests(2, tokens=30)[1], sampling=Sampling())
    free = decode(make_decoder(eos=()), [request])[request.key].token_ids
    held = msgspec.structs.replace(request, sampling=Sampling(min_new_tokens=12))
    for drafter in (None, model_drafter(rows=4)):
        ended = decode(make_decoder(drafter, eos=(free[2],)), [held])[held.key]
        assert free[2] not in ended.token_ids[:12]
