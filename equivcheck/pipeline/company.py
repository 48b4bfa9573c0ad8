"""The company in which a stored case was decoded, as cases of one suite, in the order of asking.

A suite names one workload, and a request's key also names its random streams: the case keeps its
key, and neighbours of other workloads get new ones. Their seeds stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

import msgspec

from equivcheck.core.cases import Case, Suite
from equivcheck.core.settings import Settings
from equivcheck.records.asking_order import company_of, mixed_up
from equivcheck.records.company import seats_of
from equivcheck.records.records import CANDIDATE, SHUFFLED, Evidence, RequestRecord

Item = TypeVar("Item")


def companies(evidence: Evidence, key: str, *, arm: str) -> Iterator[list[str]]:
    """Keys that an arm was asked together with a case, in order: its own go, then all up to it."""
    seats = seats_of(evidence, arm)
    if key not in seats:
        return
    own = list(seats[key].together)
    yield own
    earlier = {seat.turn: seat.together for seat in seats.values() if seat.turn < seats[key].turn}
    if earlier:
        yield [each for turn in sorted(earlier) for each in earlier[turn]] + own


def cases_of(evidence: Evidence, keys: Sequence[str], *, workload: str) -> list[Case]:
    """Stored requests as cases of a suite of this workload; seeds keep their random streams.

    Turns become cases with the prompts that the target got, and stay behind those before them.
    """
    cases: list[Case] = []
    taken: set[str] = set()
    for key in keys:
        asked = evidence.asked[key]
        home, _, name = key.partition("/")
        if home != workload:
            name = f"{home}.{name}"[:90]
        while name in taken:
            name += "x"
        taken.add(name)
        cases.append(case_of(asked, id=name))
    # What was asked wave by wave is again, also where a wave comes a second time for other cases.
    changes = (one != other for one, other in pairwise(evidence.asked[key].wave for key in keys))
    return in_waves(cases, list(accumulate(changes, initial=0))[: len(cases)])


def in_waves(cases: Sequence[Case], waves: Sequence[int]) -> list[Case]:
    """Cases, each asked after one of the latest wave before its own that is among them.

    Args:
        cases: In the order of asking.
        waves: One of each.
    """
    present = sorted(set(waves))
    last: dict[int, str] = {}
    linked = []
    for case, wave in zip(cases, waves, strict=True):
        before = present[: present.index(wave)]
        after = last.get(before[-1]) if before else None
        linked.append(msgspec.structs.replace(case, after=after))
        last[wave] = case.id
    return linked


def case_of(asked: RequestRecord, *, id: str) -> Case:
    """One stored request as a case."""
    request = asked.request
    return Case(
        id=id,
        token_ids=request.prompt_ids,
        max_new_tokens=request.max_new_tokens,
        sampling=request.sampling,
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
        ignore_eos=request.ignore_eos,
        seed=request.seed,
    )


def suite_of(cases: Sequence[Case], *, workload: str, path: str) -> Suite:
    """Cases as a suite file would hold them; in another order they come after nothing."""
    ids: set[str | None] = {None}
    ordered = []
    for case in cases:
        known = case.after in ids
        ordered.append(case if known else msgspec.structs.replace(case, after=None))
        ids.add(case.id)
    return Suite(
        path=path,
        workload=workload,
        description="replayed",
        cases=tuple(ordered),
        lines=tuple(range(2, 2 + len(ordered))),
        digest="",
    )


def in_company(settings: Settings, *, check: str | None = None) -> Settings:
    """Settings with which a run asks the cases of a suite in batches in their order.

    With ``check`` those with which it can fail on every case.
    """
    changed = msgspec.structs.replace(settings, probe_every=1, sampled=None, baseline=None)
    return msgspec.structs.replace(changed, rescore_every=1) if check == "logprobs" else changed


def suite_order(asked: Sequence[Item], settings: Settings, *, arm: str) -> list[Item]:
    """In which order cases have to stand in a suite for an arm to be asked them in this one.

    Under `in_company` the candidate is asked in the suite's order, and `shuffled` in a permutation
    of it that follows from the seed.
    """
    if arm != SHUFFLED:
        return list(asked)
    company = company_of(settings.setup.batch_size)
    places = mixed_up(range(len(asked)), (), seed=settings.seed, company=company)
    suite = list(asked)
    for item, place in zip(asked, places, strict=True):
        suite[place] = item
    return suite


def arm_of(check: str) -> str:
    """The arm whose company a check's failure is about."""
    return SHUFFLED if check == "batching" else CANDIDATE
