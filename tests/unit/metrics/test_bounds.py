"""What a measurement cannot hold is named, since nothing judges its counters later."""

from __future__ import annotations

import pytest

from equivcheck.core.generation import Step
from equivcheck.metrics.bounds import overcounted
from tests.unit.make import make_generation


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        (Step(drafted=2, accepted=1, emitted=2), None),
        (Step(drafted=2, accepted=2, emitted=3), None),
        (Step(drafted=2, accepted=3, emitted=3), "steps[0] counts 3 of 2 drafts as accepted"),
        (Step(drafted=2, accepted=-1, emitted=0), "steps[0] counts -1 of 2 drafts as accepted"),
        (
            Step(drafted=9, accepted=4, emitted=5),
            "its steps emitted 5 tokens, and it has 4",
        ),
    ],
    ids=["partly", "all", "one too many", "sentinel", "more than there is"],
)
def test_counters_that_cannot_be_true_are_named(step: Step, wrong: str | None) -> None:
    assert overcounted(make_generation((10, 11, 12, 13), steps=(step,))) == wrong
