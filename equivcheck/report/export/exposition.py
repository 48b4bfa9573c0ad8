"""Prometheus' text format, version 0.0.4: families in, text out. Knows no run.

Source of the rules: "Exposition formats" in Prometheus' documentation. No timestamps, because the
node exporter's textfile collector refuses them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from equivcheck.core.escape import head

LABEL_CELLS = 120
SECONDS = (
    *(round(step * 10.0**power, 6) for power in range(-4, 2) for step in (1.0, 2.5, 5.0)),
    100.0,
)
"""Upper bounds of the buckets of every histogram of seconds: 0.1 ms to 100 s."""


class Sample(NamedTuple):
    """One line."""

    labels: dict[str, str]
    value: float
    suffix: str = ""
    """Suffix of the name, such as ``_bucket``."""


class Family(NamedTuple):
    """All samples of one name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[Sample]


def render(families: Iterable[Family]) -> str:
    """The whole document; a family without samples is left out."""
    return "".join(f"{line}\n" for family in families if family.samples for line in _lines(family))


def histogram(labels: Mapping[str, str], seconds: Sequence[float]) -> list[Sample]:
    """The cumulative buckets, the sum and the count of some durations."""
    samples = [
        Sample({**labels, "le": _number(edge)}, sum(each <= edge for each in seconds), "_bucket")
        for edge in (*SECONDS, math.inf)
    ]
    return [
        *samples,
        Sample({**labels}, math.fsum(seconds), "_sum"),
        Sample({**labels}, len(seconds), "_count"),
    ]


def label(text: str) -> str:
    """Text from outside as a label's value: visible, bounded. Two that come out equal are one."""
    return head(text, cells=LABEL_CELLS)


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value, suffix in family.samples:
        told = ",".join(f'{name}="{_quoted(text)}"' for name, text in labels.items())
        yield f"{family.name}{suffix}{{{told}}} {_number(value)}"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
