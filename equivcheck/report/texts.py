"""Both arms' texts of a case that parts: what they share, and how each of them continues."""

from __future__ import annotations

from msgspec import Struct

from equivcheck.core.escape import head, tail
from equivcheck.core.findings import Finding, Outcome
from equivcheck.records.divergence import first_divergence
from equivcheck.records.records import CANDIDATE, TARGET, Evidence

CHECKS = ("greedy", "coupled")
SHARED_CELLS = 160
OWN_CELLS = 320
MOST_IDS = 24


class ArmText(Struct, frozen=True, kw_only=True):
    """One arm's text from the first difference on."""

    arm: str
    text: str
    token_ids: tuple[int, ...]
    """From the first token that differs, the first `MOST_IDS`."""
    more: int
    """Further token ids."""


class Texts(Struct, frozen=True, kw_only=True):
    """Target and candidate, side by side."""

    shared: str
    """The end of what both say, before the first difference."""
    position: int
    """Output position of the first token that differs."""
    sides: tuple[ArmText, ...]


def texts_of(evidence: Evidence, finding: Finding) -> Texts | None:
    """None where the finding is not about a case whose tokens differ."""
    if finding.check not in CHECKS or finding.outcome is Outcome.PASS:
        return None
    both = [evidence.captured.get(arm, {}).get(finding.subject) for arm in (TARGET, CANDIDATE)]
    target, candidate = both
    if target is None or candidate is None:
        return None
    position = first_divergence(target.generation, candidate.generation)
    if position is None:
        return None
    pairs = enumerate(zip(target.text, candidate.text, strict=False))
    shortest = min(len(target.text), len(candidate.text))
    shared = target.text[: next((at for at, (ours, theirs) in pairs if ours != theirs), shortest)]
    return Texts(
        shared=tail(shared, cells=SHARED_CELLS),
        position=position,
        sides=tuple(
            ArmText(
                arm=arm,
                text=head(each.text[len(shared) :], cells=OWN_CELLS),
                token_ids=tuple(each.generation.token_ids[position : position + MOST_IDS]),
                more=max(0, len(each.generation.token_ids) - position - MOST_IDS),
            )
            for arm, each in ((TARGET, target), (CANDIDATE, candidate))
        ),
    )
