"""Facts that two runs have to share: a target whose answers come from a record is that target."""

from __future__ import annotations

from typing import Any

import pytest

from equivcheck.baselines.facts import facts_of, first_difference
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import TARGET, Header
from tests.unit.make import make_capabilities, make_evidence

SETUP = EngineSetup(dtype="float32", batch_size=8)
PLAIN = {"engine": "native:gamma=0", "dtype": "float32", "batch_size": 8}
REPLAYED = PLAIN | {"engine": "replay:file=a,arm=target", "recorded": "native:gamma=0"}


def header(**target: Any) -> Header:
    told = make_capabilities(**target)
    return make_evidence({}, arms={TARGET: told}, settings=Settings(setup=SETUP)).header


def test_a_replayed_target_may_be_compared_with_the_engine_that_answered() -> None:
    base, new = facts_of(header(**PLAIN)), facts_of(header(**REPLAYED))
    assert first_difference(base=base, new=new) is None
    assert first_difference(base=new, new=base) is None


@pytest.mark.parametrize(
    "other",
    [
        {"recorded": "native:gamma=0,contract=free"},
        {"dtype": "bfloat16"},
        {"batch_size": 4},
        {"recorded": None},
    ],
)
def test_a_record_of_something_else_may_not(other: dict[str, Any]) -> None:
    differing = first_difference(
        base=facts_of(header(**PLAIN)), new=facts_of(header(**REPLAYED | other))
    )
    assert differing is not None
    assert differing.field == "target"
