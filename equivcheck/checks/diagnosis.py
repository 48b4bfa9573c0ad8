"""For each failing check: what the failing cases and places have in common and others have not.

Says nothing where chance explains it (`commonalities`), and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from equivcheck.checks import stopping
from equivcheck.checks.commonalities import DiagnosedCase, Thing, common
from equivcheck.checks.features import case_features, place_features
from equivcheck.checks.logprobs import inconsistent, tolerance
from equivcheck.checks.repeats import first_other_logits
from equivcheck.checks.sampled import distribution_of
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.generation import Generation
from equivcheck.records.company import seats_of
from equivcheck.records.divergence import Pair, join, shared_contract
from equivcheck.records.records import (
    CANDIDATE,
    REPEAT,
    SAMPLED,
    SHUFFLED,
    TARGET,
    Evidence,
    Rescored,
)
from equivcheck.records.sample_keys import parse_draw

if TYPE_CHECKING:
    from equivcheck.statistics.battery import Battery
    from equivcheck.statistics.impossible import ImpossibleEvent

MOST_PLACES = 40_000
"""Tokens that are looked at for one check: of larger runs every so many cases, which takes a second
or two and no more."""


class Looked(NamedTuple):
    """What is looked at of the cases of one check."""

    cases: list[DiagnosedCase]
    failing: int
    """Failing cases, also those left out."""
    every: int


Gather = Callable[[Evidence, frozenset[str]], Looked]
"""From evidence and the keys of failing cases to the cases that the check judged."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What is common to the failures of one check."""

    check: str
    failing: int
    """Cases."""
    cases: int
    """That the check judged."""
    looked: int
    """Cases of these that `lines` rest on; all, but for large runs."""
    lines: tuple[str, ...]
    """At most three, the most telling first; empty: nothing that chance does not explain."""


def diagnoses(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Diagnosis, ...]:
    """One for each check that fails on two cases or more and has places or parameters to tell."""
    told = []
    for check, gather in GATHER.items():
        failed = [each for each in findings if (each.check, each.outcome) == (check, Outcome.FAIL)]
        if not failed:
            continue
        keys = frozenset(each.subject for each in failed if each.subject in evidence.asked)
        cases, failing, every = gather(evidence, keys)
        if failing > 1:
            told.append(
                Diagnosis(
                    check=check,
                    failing=failing,
                    cases=every,
                    looked=len(cases),
                    lines=tuple(common(cases)),
                )
            )
    return tuple(told)


def _of_pairs(
    evidence: Evidence, failing: frozenset[str], *, arm: str, base: str, greedy: bool | None = None
) -> Looked:
    """Cases of which two answers are compared; ``greedy`` selects them."""
    exact = shared_contract(evidence, arm=arm, base=base) is not None
    places = {}
    for pair in join(evidence, arm=arm, base=base):
        if greedy is None or evidence.asked[pair.key].request.sampling.greedy is greedy:
            places[pair.key] = _parts_at(pair, exact=exact)
    failing = failing or frozenset(key for key, at in places.items() if at is not None)
    return _cases(evidence, arm, places, failing=failing)


def _parts_at(pair: Pair, *, exact: bool) -> int | None:
    """Where two answers part: at the first other logits, where these have to agree to the bit."""
    found = [pair.position, first_other_logits(pair.target, pair.other) if exact else None]
    return min((at for at in found if at is not None), default=None)


def _cases(
    evidence: Evidence, arm: str, at: dict[str, int | None], *, failing: frozenset[str]
) -> Looked:
    """Cases as an arm answered them; ``at`` is an output index of each, that of its failure."""
    seats, answers = seats_of(evidence, arm), evidence.captured.get(arm, {})
    cases = []
    for key in _thinned(
        at, failing, lengths={key: len(answers[key].generation.token_ids) for key in at}
    ):
        asked, seat, index = evidence.asked[key], seats.get(key), at[key]
        answer = answers[key].generation
        places = place_features(asked.request, answer)
        known = index is not None and places and key in failing
        cases.append(
            DiagnosedCase(
                own=case_features(evidence, asked, seat),
                places=places,
                failing=key in failing,
                # An answer that ended too early failed at its last token.
                at=min(index, len(places) - 1) if known and index is not None else None,
            )
        )
    return Looked(cases, len(failing & set(at)), len(at))


def _thinned(
    keys: Iterable[str], failing: frozenset[str], *, lengths: Mapping[str, int]
) -> list[str]:
    """Every so many of the failing cases, and of the others, so that places keep to their most."""
    kept: list[str] = []
    keys = list(keys)
    for chosen in (
        [key for key in keys if key in failing],
        [key for key in keys if key not in failing],
    ):
        tokens = sum(lengths[key] for key in chosen)
        kept += chosen[:: math.ceil(max(1, 2 * tokens) / MOST_PLACES)]
    return kept


def _of_outputs(
    evidence: Evidence,
    failing: frozenset[str],
    *,
    at: Callable[[Evidence, str], int | None] = lambda *_: None,
) -> Looked:
    """Cases of which single answers are judged, as the candidate answered them."""
    keys = [key for key in evidence.asked if key in evidence.captured.get(CANDIDATE, {})]
    return _cases(evidence, CANDIDATE, {key: at(evidence, key) for key in keys}, failing=failing)


def _stop_at(evidence: Evidence, key: str) -> int | None:
    """Where a broken answer should have stopped or did, if it is the candidate's that is broken."""
    answer, request = evidence.captured[CANDIDATE][key], evidence.asked[key].request
    if not any(stopping.faults_of(answer, request=request, header=evidence.header)):
        return None
    tokens = answer.generation.token_ids
    ends = stopping.ends_of(request, evidence.header).every
    found = [index for index, token in enumerate(tokens) if token in ends]
    if answer.stop_completed_at is not None:
        found.append(answer.stop_completed_at)
    return min(found, default=len(tokens) - 1)


def _of_scores(evidence: Evidence, failing: frozenset[str]) -> Looked:
    """Cases of which the candidate's log-probabilities were judged by a reference, or failed."""
    references = {each.key: each for each in evidence.rescored if each.arm == CANDIDATE}
    answers = evidence.captured.get(CANDIDATE, {})
    at = {
        key: _wrong_logprob(evidence, key, references.get(key))
        for key in evidence.asked
        if key in answers and (key in references or key in failing)
    }
    return _cases(evidence, CANDIDATE, at, failing=failing)


def _wrong_logprob(evidence: Evidence, key: str, reference: Rescored | None) -> int | None:
    """The candidate's first log-probability that the reference or another one contradicts."""
    answer = evidence.captured[CANDIDATE][key].generation
    allowed = tolerance(evidence.header.settings)
    greedy = evidence.asked[key].request.sampling.greedy
    known = reference.logprobs if reference else ()
    for at, (score, token) in enumerate(zip(answer.scores or (), answer.token_ids, strict=False)):
        if at < len(known) and abs(score.logprob - known[at]) > allowed:
            return at
        if any(inconsistent(score, token, at=at, greedy=greedy)):
            return at
    return None


def _of_draws(evidence: Evidence, failing: frozenset[str]) -> Looked:
    """Prompts that were drawn: with what cannot be drawn, else those whose draws stand out."""
    battery = distribution_of(evidence)
    if battery is None:
        return Looked([], 0, 0)
    impossible = _first_impossible(evidence, battery)
    named = frozenset(impossible) or failing | frozenset(battery.culprit_cases)
    draws: dict[str, list[Generation]] = {}
    for key, draw in evidence.draws.get(SAMPLED, {}).items():
        draws.setdefault(parse_draw(key).case, []).append(draw)
    cases = []
    for key, found in draws.items():
        asked, at = evidence.asked[key], None
        places: list[Thing] = []
        for draw in found if impossible else ():
            first = key in impossible and impossible[key].key == draw.key
            if first:
                at = len(places) + impossible[key].position
            if first or len(places) < MOST_PLACES // len(draws):
                places += place_features(asked.request, draw)
        own = case_features(evidence, asked, None)
        cases.append(DiagnosedCase(own=own, places=places, failing=key in named, at=at))
    return Looked(cases, len(named & set(draws)), len(draws))


def _first_impossible(evidence: Evidence, battery: Battery) -> dict[str, ImpossibleEvent]:
    """The first impossible event of each prompt that has one."""
    from equivcheck.statistics.impossible import events_of

    assert evidence.scores is not None
    first: dict[str, ImpossibleEvent] = {}
    for event in events_of(evidence.scores, kinds=battery.impossible.counts):
        first.setdefault(parse_draw(event.key).case, event)
    return first


GATHER: dict[str, Gather] = {
    "greedy": partial(_of_pairs, arm=CANDIDATE, base=TARGET, greedy=True),
    "coupled": partial(_of_pairs, arm=CANDIDATE, base=TARGET, greedy=False),
    "sampled": _of_draws,
    "determinism": partial(_of_pairs, arm=REPEAT, base=CANDIDATE),
    "batching": partial(_of_pairs, arm=SHUFFLED, base=CANDIDATE),
    "stopping": partial(_of_outputs, at=_stop_at),
    "logprobs": _of_scores,
    "counters": _of_outputs,
}
"""Check to how its cases are gathered; others say nothing of places."""
