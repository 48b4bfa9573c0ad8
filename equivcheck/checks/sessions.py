"""Gate: later turns of sessions were compared, as far as both arms had the same turns before.

The prompt of a later turn holds an arm's own answers. Where an arm answers one turn otherwise than
the target, the checks of identity say so at that turn; what follows it had another prompt, and is
counted here as not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.checks.subjects import plural, repeat_command
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, RequestRecord, by_workload

SHOWN = 5
"""Sessions named in one finding."""


def check(evidence: Evidence) -> list[Finding]:
    """One finding a workload with later turns, and one a turn whose other prompt has no reason."""
    answered = evidence.answers(CANDIDATE).keys() & evidence.answers(TARGET).keys()
    later = [key for key, asked in evidence.asked.items() if asked.before and key in answered]
    gathered = by_workload(evidence, later, key=lambda key: key)
    return [
        *_unexplained(evidence),
        *(_summary(evidence, workload, keys) for workload, keys in gathered.items()),
    ]


def parting_turn(evidence: Evidence, key: str, *, arm: str = CANDIDATE) -> str | None:
    """Key of the first earlier turn that an arm answered otherwise than the target; None: none."""
    ours, theirs = evidence.answers(arm), evidence.answers(TARGET)
    for turn in evidence.asked[key].before:
        if turn in ours and turn in theirs:
            one, other = ours[turn].generation, theirs[turn].generation
            if one.token_ids != other.token_ids:
                return turn
    return None


def why_not_judged(evidence: Evidence, key: str) -> str | None:
    """Why a later turn was compared with nothing; None: it was, or it is no such turn."""
    if not any(key in evidence.other_history.get(arm, {}) for arm in (CANDIDATE, TARGET)):
        return None
    turn = parting_turn(evidence, key)
    return (
        "its prompt was another one" if turn is None else f"{visible(turn)} was answered otherwise"
    )


def turn_words(evidence: Evidence, key: str) -> Iterator[str]:
    """``turn 2 of session trip; not judged, as they follow from it: trip.3, trip.4``."""
    asked = evidence.asked[key]
    if asked.session is None:
        return
    following = [
        other
        for other, each in evidence.asked.items()
        if key in each.before and other in evidence.other_history.get(CANDIDATE, {})
    ]
    words = f"turn {len(asked.before) + 1} of session {visible(asked.session)}"
    if following:
        words += f"; not judged, as they follow from it: {_names(following)}"
    yield words


def _summary(evidence: Evidence, workload: str, later: Sequence[str]) -> Finding:
    captured = evidence.captured
    judged = [
        key
        for key in later
        if key in captured.get(CANDIDATE, {}) and key in captured.get(TARGET, {})
    ]
    left = [key for key in later if key not in judged]
    counted = (
        f"{len(judged)} of {plural(len(later), 'later turn')} compared behind the same history"
    )
    if not left:
        outcome, reason = Outcome.PASS, Reason.HELD
    elif judged:
        outcome, reason = Outcome.PASS, Reason.OTHER_HISTORY
    else:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.OTHER_HISTORY
    also = f", {len(left)} not judged: an earlier turn was answered otherwise" if left else ""
    return Finding(
        check="sessions",
        subject=workload,
        outcome=outcome,
        reason=reason,
        headline=f"{counted}{also}",
        details=tuple(_parted(evidence, left)),
        n=len(judged),
    )


def _parted(evidence: Evidence, left: Sequence[str]) -> Iterator[str]:
    """By session, the turn at which it parts and those that follow."""
    sessions: dict[str | None, list[str]] = {}
    for key in left:
        sessions.setdefault(parting_turn(evidence, key), []).append(key)
    for turn, keys in list(sessions.items())[:SHOWN]:
        if turn is not None:
            yield f"{visible(turn)} is the first turn that differs; behind it: {_names(keys)}"
    if len(sessions) > SHOWN:
        yield f"and {plural(len(sessions) - SHOWN, 'session')} more"


def _unexplained(evidence: Evidence) -> Iterator[Finding]:
    """Turns that an arm was asked with another prompt, though all before it are the same."""
    for arm, answers in evidence.other_history.items():
        for key in answers:
            if parting_turn(evidence, key, arm=arm) is None:
                yield Finding(
                    check="sessions",
                    subject=key,
                    outcome=Outcome.INCONCLUSIVE,
                    reason=Reason.NOT_COMPARABLE,
                    headline=f"{arm} got another prompt than {TARGET}, though both answered all "
                    f"{_number(evidence.asked[key])} alike",
                    repeat=repeat_command(evidence, key),
                )


def _number(asked: RequestRecord) -> str:
    return plural(len(asked.before), "turn") + " before it"


def _names(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(map(visible, keys[:SHOWN])) + more
