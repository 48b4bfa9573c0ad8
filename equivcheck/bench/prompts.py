"""What every arm is asked: the first greedy prompts of each suite, all for the same work. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import SuiteError
from equivcheck.core.generation import Request
from equivcheck.core.schedule import turns_before
from equivcheck.metrics.chunks import in_chunks, key_of
from equivcheck.metrics.records import Point
from equivcheck.records.shards import Which, dealt

Encode = Callable[[Case], Sequence[int]]


def requests_of(
    suites: Sequence[Suite],
    *,
    prompts: int,
    tokens: int,
    fill: int,
    encode: Encode,
    which: Which | None = None,
) -> dict[str, tuple[Request, ...]]:
    """Requests by workload: `prompts` of each or as many as the largest chunk takes, `fill`.

    Stops, penalties and end-of-text ids are left out: arms that stop at different places could not
    be compared. So are cases whose prompt follows from another's. Behind the last case they come
    again under other keys (`chunks.key_of`), so that chunks of any size up to `fill` are full. A
    shard has its part of these cases, and its chunks are filled with them alone.

    Raises:
        SuiteError: a suite has no greedy case or fewer than there are shards, or two have the same
            workload.
    """
    found: dict[str, tuple[Request, ...]] = {}
    for suite in suites:
        later = turns_before(suite.cases)
        cases = [
            case
            for case in suite.cases
            if case.sampling.greedy and case.id not in later and case.shares_prefix_with is None
        ]
        cases = cases[: max(prompts, fill)]
        if not cases:
            raise SuiteError(f"{suite.path}: no greedy case to measure with")
        if which is not None:
            keys = [suite.key(case) for case in cases]
            if which.of > len(keys):
                raise SuiteError(f"{suite.path}: {which.of} shards of {len(keys)} prompts")
            own = dealt(keys, of=which.of, leaders={})[which.number - 1]
            cases = [case for case in cases if suite.key(case) in own]
        if suite.workload in found:
            raise SuiteError(f"{suite.path}: workload {suite.workload!r} is in another suite too")
        wanted = len(cases) + fill - 1
        rounds = itertools.cycle(cases)
        found[suite.workload] = tuple(
            Request(
                key=key_of(suite.key(case), time=1 + at // len(cases)),
                prompt_ids=tuple(encode(case)),
                max_new_tokens=tokens,
                ignore_eos=True,
            )
            for at, case in zip(range(wanted), rounds, strict=False)
        )
    return found


def at_point(
    requests: Mapping[str, Sequence[Request]], point: Point
) -> dict[str, tuple[tuple[Request, ...], ...]]:
    """The same requests in the point's chunks, lengthened where it is filled."""
    return {
        workload: tuple(_chunks(_filled(asked, point), size=point.together))
        for workload, asked in requests.items()
    }


def _chunks(asked: Sequence[Request], *, size: int) -> Iterator[tuple[Request, ...]]:
    keys = [request.key for request in asked]
    return (tuple(asked[chunk]) for chunk in in_chunks(keys, size=size))


def _filled(asked: Sequence[Request], point: Point) -> list[Request]:
    """Put other prompts of the workload in front until prompt and output fill the context."""
    if not point.filled:
        return list(asked)
    text = [token for request in asked for token in request.prompt_ids]
    filled = []
    for request in asked:
        missing = point.context - request.max_new_tokens - len(request.prompt_ids)
        if missing < 0:
            raise SuiteError(
                f"{request.key}: prompt and output need {point.context - missing} positions, "
                f"the context is {point.context}"
            )
        before = tuple(itertools.islice(itertools.cycle(text), missing))
        filled.append(msgspec.structs.replace(request, prompt_ids=(*before, *request.prompt_ids)))
    return filled
