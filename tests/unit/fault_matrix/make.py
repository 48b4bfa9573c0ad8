"""Results made by hand."""

from __future__ import annotations

from typing import Any

import msgspec

from equivcheck.core.findings import Outcome
from equivcheck.fault_matrix.result import Result, Said

PLAIN = Result(
    id="no-trim",
    family="F8",
    summary="Trimming does nothing",
    recreates="mlx-lm #1109",
    breaks="losslessness",
    caught_by="greedy",
    label=None,
    candidate="native:gamma=4,fault=no-trim",
    schedules=("plain",),
    seed=0,
    cases="c0ffee",
    created="2026-11-24T13:00:00+00:00",
    commit="abcdef0",
    headline="NOT EQUIVALENT — speculative diverged",
    checks={"greedy": Outcome.FAIL, "engaged": Outcome.INCONCLUSIVE, "counters": Outcome.PASS},
    said=Said.NOT_EQUIVALENT,
    caught=True,
    accused=True,
    requests=2,
    tokens=1234,
    message=("✗ fail plain/01 · greedy", "  candidate | diverged"),
)


def make_result(**changes: Any) -> Result:
    """A caught fault, but for some fields."""
    return msgspec.structs.replace(PLAIN, **changes)


def make_control(**changes: Any) -> Result:
    """A control that was not accused, but for some fields."""
    sound: dict[str, Any] = {
        "id": "sound",
        "family": "",
        "breaks": "nothing",
        "caught_by": "",
        "candidate": "native:gamma=4,fault=sound",
        "checks": {"greedy": Outcome.PASS},
        "said": Said.EQUIVALENT,
        "accused": False,
        "message": (),
    }
    return make_result(**(sound | changes))
