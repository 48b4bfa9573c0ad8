"""What comes of holding a new run against a base: the nouns of a comparison."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from equivcheck.baselines.cells import ABSENT, Cell, Terms
from equivcheck.baselines.facts import Differing
from equivcheck.core.findings import Finding, Outcome

Word = Literal[
    "SAME OR BETTER",
    "REGRESSED",
    "NOT EQUIVALENT",
    "INCONCLUSIVE",
    "NOT COMPARABLE",
    "NO BASELINE",
]


class Row(Struct, frozen=True, kw_only=True):
    """One workload of both runs."""

    workload: str
    outcome: Outcome
    prompts: int
    """That both answered."""
    margin: float
    """Drop of acceptance that has to be excluded here."""
    missing: int
    """Prompts of the base that the new run left out."""
    passing: int
    """Prompts of the new run about which nothing but passes was found."""
    unmeasured: int = 0
    """Times of the base for which the new measurement has none."""
    diverged: tuple[str, ...] = ()
    """The first prompts with other tokens than the target's in the new measurement."""
    acceptance: Cell = ABSENT
    speedup: Cell = ABSENT
    """Within each run, so it may be compared across machines."""
    p99_ratio: Cell = ABSENT
    tokens_per_second: Cell = ABSENT
    """Absolute: on the same machine only, and told without being gated on."""


class Broken(Struct, frozen=True, kw_only=True):
    """One case that does not pass now."""

    key: str
    state: str
    before: str | None
    """Its state in the base; None: it was not there."""
    fails: bool
    newly: bool
    """Whether it was better in the base."""


class Comparison(Struct, frozen=True, kw_only=True):
    """A new run compared with a base."""

    outcome: Outcome
    word: Word
    headline: str
    base: str
    new: str
    terms: Terms
    differences: tuple[Differing, ...] = ()
    """What is not the same, and allowed to differ."""
    broken: tuple[Broken, ...] = ()
    """Newly broken cases first."""
    rows: tuple[Row, ...] = ()
    memory: Cell = ABSENT
    not_comparable: Differing | None = None
    limits: tuple[Finding, ...] = ()
    """The new measurement held to the project's limits; and limits whose workload is misspelt."""
    notes: tuple[str, ...] = ()
