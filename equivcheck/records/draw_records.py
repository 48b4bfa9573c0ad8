"""The records of draws: what was drawn, planned and scored for the tests of a distribution."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from equivcheck.core.generation import Generation


class SampleRecord(Struct, frozen=True, kw_only=True, tag="drawn", omit_defaults=True):
    """One draw of a sampled case. Its generation's key is ``workload/case#round``."""

    arm: str
    """An arm that draws: `records.DRAWING`."""
    generation: Generation
    stop_completed_at: int | UnsetType | None = UNSET
    """As in `GenerationRecord`. Unset: not looked for, since the request has no stop string, an
    id is none of the vocabulary, or the file was written before draws were searched."""


class Preflight(Struct, frozen=True, kw_only=True, tag="preflight", omit_defaults=True):
    """What could be seen in how many tokens, measured before anything is drawn."""

    positions: int
    """Positions, of the target's own sampled answers, that it rests on."""
    draft_distance: float
    """Mean total variation distance of target's and draft's distribution."""
    divergences: dict[str, float]
    """Wrong distribution to its mean KL divergence from the target's, nats a token."""
    tokens: int
    """The budget that was planned; of several such lines in a run, the last counts."""
    scorer: str = ""
    """The server that scores; empty: the pair's weights do."""


class ScoresRecord(Struct, frozen=True, kw_only=True, tag="scored"):
    """The draws of the arm `sampled` so far were scored, in a file beside the records."""

    outputs: int
    tokens: int
    sha256: str
    """SHA-256 of the file, hex."""
