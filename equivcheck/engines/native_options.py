"""What can follow ``native:`` in a specification, and what its names of rules stand for."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from equivcheck.decoding.backends.choose import Contract, Kernels
from equivcheck.decoding.verification import (
    AgreementRule,
    BlockRule,
    MatchRule,
    OneHotRule,
    RejectionRule,
    VerificationRule,
)

RuleName = Literal["greedy", "coupled", "agreement", "rejection", "one-hot", "block"]
RULE_CLASSES: dict[RuleName, type[VerificationRule]] = {
    "greedy": MatchRule,
    "coupled": MatchRule,
    "agreement": AgreementRule,
    "rejection": RejectionRule,
    "one-hot": OneHotRule,
    "block": BlockRule,
}
"""Greedy is the match rule without noise."""


class NativeOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``native:``."""

    gamma: Annotated[int, Meta(ge=0, le=63)] = 4
    """Draft tokens per step; 0 is plain decoding."""
    adaptive: bool = False
    """Choose each step's gamma, `gamma` being the most."""
    drafter: Literal["auto", "model", "lookup", "mixed", "suffix", "eagle3", "mtp"] = "auto"
    """auto: the pair's draft model, or prompt lookup where it has none. mixed: both, in turn.
    suffix: what most often followed, in the text and in earlier answers. eagle3, mtp: a head, which
    drafts from the target's hidden states."""
    head: str | None = None
    """Folder of the head. None: the one beside the target's folder, named like the drafter."""
    rule: RuleName = "coupled"
    """How drafts are verified, as in `core/rules.py`."""
    width: Annotated[int, Meta(ge=1, le=64)] | None = None
    """Most slots of the target's step, all of which are computed where bits depend on the width.
    None: the least multiple of 8 that holds gamma + 1."""
    contract: Contract = "fixed-shape"
    """fixed-shape: equal bits at one batch size and width, at the library's speed.
    batch-invariant: equal bits at any, by arithmetic that is built for it, as compiled kernels
    are, which promise it unasked."""
    kernels: Kernels = "auto"
    """auto: the fastest there is. packed: on a CPU torch's, from weights laid out for them.
    library: torch's alone, to see what the others bring."""
    lag: Annotated[int, Meta(ge=0, le=1)] | None = None
    """Steps by which outcomes come late: with 1 the next step is in flight as one is read. None: 1
    on CUDA, 0 elsewhere."""
    fault: str | None = None
    """Seed a fault from the catalogue: for testing the tests."""


def rule_of(name: RuleName) -> VerificationRule:
    """The rule of a name."""
    return RULE_CLASSES[name]()
