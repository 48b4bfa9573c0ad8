"""Join two arms by case and find where they part, down to verify step and draft slot.

Pure: reads records, touches no model. Does not decide whether a difference matters; checks do.
Positions, steps and slots count from 0.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Literal, NamedTuple

from msgspec import Struct

from equivcheck.core.generation import Generation
from equivcheck.core.rules import RULES
from equivcheck.records.records import CANDIDATE, TARGET, Evidence

Role = Literal["draft", "correction", "bonus", "plain"]
"""How a token came to be emitted: an accepted draft; the target's own token where a draft was
rejected; its extra token after all drafts were accepted; a step without drafts."""


class StepSlot(NamedTuple):
    """Where in an arm's verify steps a token was emitted."""

    step: int
    slot: int
    """0-based slot in the step's block; equals the number of accepted drafts for the last."""
    role: Role


class Pair(Struct, frozen=True, kw_only=True):
    """Two arms' answers to one request."""

    key: str
    arm: str
    """The arm that is compared with `base`."""
    base: str
    target: Generation
    """The answer of `base`."""
    other: Generation
    position: int | None
    """First differing output index; the shorter length where one goes on, the common length where
    only the finish reasons differ; None where the answers are the same."""
    text_alone: bool = False
    """Whether the answers are text alone, and their tokens what a tokenizer makes of it."""
    place: StepSlot | None = None
    """Where `other` emitted the token at `position`; None where it did not, or reports no steps."""

    @property
    def token_differs(self) -> bool:
        """Whether both arms emitted a token at `position`, and not the same one."""
        if self.position is None:
            return False
        return self.position < min(len(self.target.token_ids), len(self.other.token_ids))


def first_divergence(one: Generation, other: Generation) -> int | None:
    """First output index at which two answers differ, in token or in having ended there."""
    if one.token_ids != other.token_ids:
        for index, (left, right) in enumerate(zip(one.token_ids, other.token_ids, strict=False)):
            if left != right:
                return index
    if len(one.token_ids) != len(other.token_ids) or one.finish_reason != other.finish_reason:
        return min(len(one.token_ids), len(other.token_ids))
    return None


def place_of(generation: Generation, position: int) -> StepSlot | None:
    """Which verify step, and which slot of it, emitted the token at ``position``."""
    if not 0 <= position < len(generation.token_ids):
        return None
    ends = accumulate(step.emitted for step in generation.steps)
    for index, (step, end) in enumerate(zip(generation.steps, ends, strict=True)):
        if position < end:
            slot = position - (end - step.emitted)
            return StepSlot(
                index, slot, role_of(slot, drafted=step.drafted, accepted=step.accepted)
            )
    return None


def role_of(slot: int, *, drafted: int, accepted: int) -> Role:
    """How the token in a slot came to be emitted, in a step that drafted and accepted so many."""
    if drafted == 0:
        return "plain"
    if slot < accepted:
        return "draft"
    return "bonus" if accepted == drafted else "correction"


def join(evidence: Evidence, *, arm: str, base: str = TARGET) -> tuple[Pair, ...]:
    """Pair the answers to every request that both arms answered, in the order of the suites."""
    theirs = evidence.captured.get(base, {})
    ours = evidence.captured.get(arm, {})
    text_alone = texts_alone(evidence)
    pairs = []
    for key in evidence.asked:
        if key in theirs and key in ours:
            target, other = theirs[key].generation, ours[key].generation
            position = first_divergence(target, other)
            pairs.append(
                Pair(
                    key=key,
                    arm=arm,
                    base=base,
                    target=target,
                    other=other,
                    position=position,
                    text_alone=text_alone,
                    place=None if position is None else place_of(other, position),
                )
            )
    return tuple(pairs)


def texts_alone(evidence: Evidence) -> bool:
    """Whether answers are text alone: then no token is known."""
    return any(told.text_alone for told in evidence.header.arms.values())


def identity_is_claimed(evidence: Evidence) -> bool:
    """Whether both arms promise the same sampled tokens for the same seed."""
    arms = evidence.header.arms
    rules = {arms[arm].rule for arm in (TARGET, CANDIDATE) if arm in arms}
    if rules == {"coupled"}:
        return True
    same_tokens = all(RULES[rule].same_tokens for rule in rules)
    return shared_contract(evidence) is not None and same_tokens


def shared_contract(evidence: Evidence, *, arm: str = CANDIDATE, base: str = TARGET) -> str | None:
    """The identity contract that both arms name; None where they do not name the same one."""
    arms = evidence.header.arms
    if arm not in arms or base not in arms:
        return None
    ours, theirs = arms[arm].identity, arms[base].identity
    return ours if ours == theirs else None
