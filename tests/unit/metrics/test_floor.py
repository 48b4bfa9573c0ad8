"""The floor under a plain step, from bytes and a bandwidth."""

from __future__ import annotations

import pytest

from equivcheck.metrics.floor import floor_of, mean_context
from tests.unit.make import make_generation, make_steps


def test_a_floor_is_bytes_over_bandwidth() -> None:
    floor = floor_of(
        weight_bytes=16_000_000_000,
        position_bytes=131_072,
        positions=16 * 512.0,
        bandwidth=3e12,
        step_seconds=0.008,
    )
    assert floor is not None
    assert floor.bytes_per_step == 16_000_000_000 + 2**17 * 2**13
    assert floor.seconds == pytest.approx(0.0056912, rel=1e-4)
    assert floor.fraction == pytest.approx(0.7114, rel=1e-3)


@pytest.mark.parametrize("missing", ["weight_bytes", "position_bytes", "positions", "bandwidth"])
def test_without_a_part_there_is_no_floor(missing: str) -> None:
    given: dict[str, float | None] = {
        "weight_bytes": 8,
        "position_bytes": 1,
        "positions": 2.0,
        "bandwidth": 1.0,
        "step_seconds": 1.0,
    }
    assert floor_of(**given) is not None  # type: ignore[arg-type]
    assert floor_of(**given | {missing: None}) is None  # type: ignore[arg-type]


def test_without_a_measured_step_there_is_no_fraction() -> None:
    floor = floor_of(
        weight_bytes=8, position_bytes=1, positions=2.0, bandwidth=2.0, step_seconds=None
    )
    assert floor is not None
    assert (floor.seconds, floor.fraction) == (5.0, None)


def test_the_mean_context_is_that_before_each_step() -> None:
    one = make_generation(steps=make_steps((0, 0), (2, 2), (0, 0)))
    start = one.prompt_tokens
    assert mean_context([one]) == pytest.approx((start + (start + 1) + (start + 4)) / 3)
    assert mean_context([]) is None
