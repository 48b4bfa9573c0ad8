"""How many outputs each check judged, how many it left out, and why.

Counts what the checks looked at, by the conditions that they state; a headline counts only what was
judged. Decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from equivcheck.checks import stopping
from equivcheck.checks.other_drafts import drafted_otherwise
from equivcheck.core.generation import Generation
from equivcheck.records.divergence import identity_is_claimed, join, texts_alone
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SAMPLED,
    SHUFFLED,
    TARGET,
    Evidence,
)
from equivcheck.records.score_table import Support

UNPAIRED = "not answered by both arms"
OTHER_HISTORY = "a later turn behind other answers than the target's"
DRAWN = "sampled: the distribution is tested instead"
NO_CLAIM = "sampled: the arms promise no equal tokens"
ONLY_A_RATE = f"of {CONTROL}: only how often it parts from {TARGET} is counted"
NO_STEPS = "no verify steps reported"
NO_SCORES = "no log-probabilities reported"
NO_REFERENCE = "no independent pass: only consistent with each other"
OTHER_DRAFTS = "sampled: other drafts were judged, by a rule that then gives other tokens"
NOT_SCORED = "no scores"
TEXT_ALONE = "answers are text alone: their tokens are not known"
NOT_SEARCHED = "not searched for stop strings: records of an older version"


class Judged(Struct, frozen=True, kw_only=True):
    """One check's count."""

    check: str
    unit: str
    """outputs, or tokens of draws."""
    judged: int
    not_judged: dict[str, int]
    """Reason to how many."""


def judged_of(evidence: Evidence) -> tuple[Judged, ...]:
    """The counts of every check that may leave something out and had something to look at."""
    found = (
        _count("greedy", _greedy(evidence)),
        _count("coupled", _coupled(evidence)),
        _count("sampled", _sampled(evidence), unit="tokens"),
        _count("determinism", _again(evidence, arm=REPEAT)),
        _count("batching", _shuffled(evidence)),
        _count("stopping", _stopping(evidence)),
        _count("logprobs", _logprobs(evidence)),
        _count("counters", _counters(evidence)),
    )
    return tuple(each for each in found if each.judged or each.not_judged)


def _count(check: str, reasons: Iterator[str | None], *, unit: str = "outputs") -> Judged:
    """Count why each thing was left out; None: it was judged."""
    counts = Counter(reasons)
    judged = counts.pop(None, 0)
    left = {reason: times for reason, times in counts.items() if reason is not None}
    return Judged(check=check, unit=unit, judged=judged, not_judged=left)


def _greedy(evidence: Evidence) -> Iterator[str | None]:
    paired = {pair.key for pair in join(evidence, arm=CANDIDATE)}
    for key, asked in evidence.asked.items():
        if asked.request.sampling.greedy:
            yield None if key in paired else _unpaired(evidence, key, CANDIDATE)
    for _ in evidence.captured.get(CONTROL, {}):
        yield ONLY_A_RATE


def _coupled(evidence: Evidence) -> Iterator[str | None]:
    paired = {pair.key for pair in join(evidence, arm=CANDIDATE)}
    drawn = set(evidence.header.planned.get(SAMPLED, ()))
    claimed = identity_is_claimed(evidence)
    for key, asked in evidence.asked.items():
        if asked.request.sampling.greedy:
            continue
        if not claimed:
            yield DRAWN if key in drawn else NO_CLAIM
        else:
            yield None if key in paired else _unpaired(evidence, key, CANDIDATE)


def _unpaired(evidence: Evidence, key: str, *arms: str) -> str:
    """Why two answers were not compared."""
    other = any(key in evidence.other_history.get(arm, {}) for arm in arms)
    return OTHER_HISTORY if other else UNPAIRED


def _sampled(evidence: Evidence) -> Iterator[str | None]:
    draws = evidence.draws.get(SAMPLED, {})
    if evidence.header.settings.law_evidence == "tokens":
        return
    scored = set() if evidence.scores is None else set(evidence.scores.keys)
    for key, draw in draws.items():
        if key not in scored:
            yield from [NOT_SCORED] * len(draw.token_ids)
    if evidence.scores is None:
        return
    for code in evidence.scores.support.tolist():
        yield _AT_CUTS.get(code)


_AT_CUTS = {
    Support.BORDER.value: "at the border of a cut: arithmetic may have decided",
    Support.TIED.value: "at an exact tie across a cut: a convention decides",
    Support.UNKNOWN.value: "the server that scores could not tell the distribution",
}


def _again(evidence: Evidence, *, arm: str) -> Iterator[str | None]:
    paired = {pair.key for pair in join(evidence, arm=arm, base=CANDIDATE)}
    for key in evidence.header.planned.get(arm, ()):
        yield None if key in paired else _unpaired(evidence, key, arm, CANDIDATE)


def _shuffled(evidence: Evidence) -> Iterator[str | None]:
    pairs = {pair.key: pair for pair in join(evidence, arm=SHUFFLED, base=CANDIDATE)}
    for key in evidence.header.planned.get(SHUFFLED, ()):
        if key not in pairs:
            yield UNPAIRED
        else:
            yield OTHER_DRAFTS if drafted_otherwise(evidence, pairs[key]) else None


def _stopping(evidence: Evidence) -> Iterator[str | None]:
    why = TEXT_ALONE if texts_alone(evidence) else NOT_SEARCHED
    for judged in stopping.judged_outputs(evidence):
        yield None if judged else why
    yield from _with_other_history(evidence)


def _with_other_history(evidence: Evidence) -> Iterator[str]:
    """Once for each answer to a turn that was asked with another prompt."""
    for answers in evidence.other_history.values():
        yield from [OTHER_HISTORY] * len(answers)


def _logprobs(evidence: Evidence) -> Iterator[str | None]:
    rescored = {(found.key, found.arm) for found in evidence.rescored}
    for arm, key, generation in _answers(evidence):
        if generation.scores is None:
            yield NO_SCORES
        else:
            yield None if (key, arm) in rescored else NO_REFERENCE
    yield from _with_other_history(evidence)


def _counters(evidence: Evidence) -> Iterator[str | None]:
    arms = evidence.header.arms
    outputs = [(arm, each) for arm, _, each in _answers(evidence)]
    outputs += [(arm, draw) for arm, drawn in evidence.draws.items() for draw in drawn.values()]
    for arm, generation in outputs:
        if arms[arm].text_alone:
            yield TEXT_ALONE
            continue
        yield None if generation.steps or arms[arm].reports_steps else NO_STEPS
    yield from _with_other_history(evidence)


def _answers(evidence: Evidence) -> Iterator[tuple[str, str, Generation]]:
    for arm, captured in evidence.captured.items():
        for key, answer in captured.items():
            yield arm, key, answer.generation
