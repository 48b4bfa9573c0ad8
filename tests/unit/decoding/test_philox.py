from __future__ import annotations

import pytest
import torch

from equivcheck.core.generation import Request
from equivcheck.decoding.philox import Counter, Key, philox
from equivcheck.decoding.streams import Purpose, Streams, stream_key

# Known-answer vectors of the Random123 library, philox4x32 with 10 rounds.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[torch.Tensor]:
    return [torch.tensor(int(word, 16)) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    result = philox(Counter(*words(counter)), Key(*words(key)))
    assert [int(word) for word in result] == [int(word, 16) for word in expected.split()]


def streams_of(*requests: Request) -> Streams:
    streams = Streams(rows=len(requests), device=torch.device("cpu"))
    for row, request in enumerate(requests):
        streams.admit(row, request)
    return streams


def request(key: str, seed: int = 0) -> Request:
    return Request(key=key, prompt_ids=(1,), max_new_tokens=1, seed=seed)


def test_noise_belongs_to_request_and_position_not_to_row_or_slot() -> None:
    both = streams_of(request("a"), request("b"))
    swapped = streams_of(request("b"), request("a"))
    positions = torch.tensor([[3, 4, 5], [3, 4, 5]])
    noise = both.gumbel(positions, Purpose.SHARED, width=11)
    assert torch.equal(noise[0], swapped.gumbel(positions, Purpose.SHARED, width=11)[1])
    later = both.gumbel(positions + 1, Purpose.SHARED, width=11)
    assert torch.equal(noise[:, 1:], later[:, :-1])
    assert not torch.equal(noise[0], noise[1])


def test_purposes_and_seeds_never_share_bits() -> None:
    positions = torch.arange(8)[None]
    streams = streams_of(request("a"))
    drawn = [streams.uniform(positions, purpose, width=64) for purpose in Purpose]
    drawn.append(streams_of(request("a", seed=1)).uniform(positions, Purpose.SHARED, width=64))
    for index, left in enumerate(drawn):
        for right in drawn[index + 1 :]:
            assert (left == right).sum() == 0


def test_a_purpose_may_differ_by_row() -> None:
    streams = streams_of(request("a"), request("b"))
    positions = torch.tensor([[7], [7]])
    mixed = torch.tensor([[int(Purpose.RESIDUAL)], [int(Purpose.BONUS)]])
    noise = streams.gumbel(positions, mixed, width=9)
    assert torch.equal(noise[0], streams.gumbel(positions, Purpose.RESIDUAL, width=9)[0])
    assert torch.equal(noise[1], streams.gumbel(positions, Purpose.BONUS, width=9)[1])


def test_uniforms_are_uniform_and_inside_the_open_interval() -> None:
    values = streams_of(request("a")).uniform(torch.arange(200)[None], Purpose.ACCEPT, width=500)
    assert values.min() > 0
    assert values.max() < 1
    deciles = torch.histc(values, bins=10, min=0, max=1) / values.numel()
    # Standard error 0.00095 a decile; 6 of them.
    assert (deciles - 0.1).abs().max() < 0.0057


def test_gumbel_noise_is_finite_and_has_the_right_mean() -> None:
    noise = streams_of(request("a")).gumbel(torch.arange(400)[None], Purpose.DRAFT, width=500)
    assert torch.isfinite(noise).all()
    # Mean: Euler's constant; standard error 1.28 / sqrt(200,000) = 0.0029.
    assert abs(float(noise.mean()) - 0.57722) < 0.0115


def test_stream_key_depends_on_key_and_seed_alone() -> None:
    assert stream_key(request("a", seed=3)) == stream_key(request("a", seed=3))
    assert stream_key(request("a")) != stream_key(request("b"))
