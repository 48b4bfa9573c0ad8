"""Decide what every arm is asked, in which order and company. Pure: no engine, no clock.

The cases that are also asked again (arms `repeat` and `shuffled`) come first and share batches with
each other only, so that a fresh engine can be given exactly what the candidate was given before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from equivcheck.core.cases import Case, Suite
from equivcheck.core.generation import Request
from equivcheck.core.settings import Settings
from equivcheck.records.asking_order import chunked, mixed_up
from equivcheck.records.records import CANDIDATE, CONTROL, REPEAT, SHUFFLED, TARGET, Asked, LeftOut
from equivcheck.records.sample_keys import derive_seed

Encode = Callable[[Case], Sequence[int]]
"""From a case to its prompt's token ids."""
Chunk = tuple[Request, ...]
"""Requests that are put to an engine together."""


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that will be asked."""

    asked: tuple[Asked, ...]
    """In the order of the suites."""
    probes: tuple[Chunk, ...]
    """Chunks of the cases that are asked again."""
    others: tuple[Chunk, ...]
    """Chunks of all other cases."""
    planned: dict[str, tuple[str, ...]]
    """Arm to case keys, in the order of the suites."""
    left_out: tuple[LeftOut, ...] = ()
    """Cases that are asked of no arm."""

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks, in the order they are asked."""
        return self.probes + self.others


def make_plan(settings: Settings, suites: Sequence[Suite], *, encode: Encode) -> Plan:
    """Turn cases into requests and share them out.

    Raises:
        SuiteError: a prompt cannot be encoded.
    """
    asked: list[Asked] = []
    probed: set[str] = set()
    for suite in suites:
        for index, (case, line) in enumerate(zip(suite.cases, suite.lines, strict=True)):
            request = make_request(suite.key(case), case, prompt=encode(case), seed=settings.seed)
            asked.append(
                Asked(request=request, workload=suite.workload, path=suite.path, line=line)
            )
            if index % settings.probe_every == 0:
                probed.add(request.key)
    requests = [each.request for each in asked]
    size = settings.setup.batch_size
    return Plan(
        asked=tuple(asked),
        probes=chunked([each for each in requests if each.key in probed], size=size),
        others=chunked([each for each in requests if each.key not in probed], size=size),
        planned=share_out(requests, probed=probed, control=settings.control is not None),
    )


def with_stored_prompts(plan: Plan, stored: Mapping[str, Asked]) -> Plan:
    """The plan of a run that is resumed: its cases keep the requests that were asked before.

    A chat template may write the date, and so encode the same case to other ids than then. The
    answers that are stored and those to come have to be answers to the same prompt.
    """

    def kept(request: Request) -> Request:
        return stored[request.key].request if request.key in stored else request

    return replace(
        plan,
        asked=tuple(replace(each, request=kept(each.request)) for each in plan.asked),
        probes=tuple(tuple(map(kept, chunk)) for chunk in plan.probes),
        others=tuple(tuple(map(kept, chunk)) for chunk in plan.others),
    )


def share_out(
    requests: Sequence[Request], *, probed: set[str], control: bool
) -> dict[str, tuple[str, ...]]:
    """The keys that each arm has to answer."""
    every = tuple(request.key for request in requests)
    again = tuple(key for key in every if key in probed)
    planned = {TARGET: every, CANDIDATE: every}
    if control:
        planned[CONTROL] = tuple(each.key for each in requests if each.sampling.greedy)
    return planned | {SHUFFLED: again, REPEAT: again}


def make_request(key: str, case: Case, *, prompt: Sequence[int], seed: int) -> Request:
    """What an engine is asked for a case; ``seed`` is the run's."""
    return Request(
        key=key,
        prompt_ids=tuple(prompt),
        max_new_tokens=case.max_new_tokens,
        sampling=case.sampling,
        stop=case.stop,
        stop_token_ids=case.stop_token_ids,
        ignore_eos=case.ignore_eos,
        seed=derive_seed(seed, key) if case.seed is None else case.seed,
    )


def shuffle(plan: Plan, *, wanted: set[str], seed: int, company: int) -> Chunk:
    """The wanted requests in another order, among others that are asked for company only.

    Args:
        plan: Where the requests are.
        wanted: Keys whose answers count.
        seed: Of the permutation.
        company: How many further requests to mix in, as far as there are some.
    """
    others = [request for chunk in plan.others for request in chunk]
    chosen = [request for chunk in plan.probes for request in chunk if request.key in wanted]
    return mixed_up(chosen, others, seed=seed, company=company)


def warm_up(plan: Plan) -> Chunk:
    """The request that an engine warms up with: the shortest, as its answer is thrown away."""
    every = [each.request for each in plan.asked]
    return (min(every, key=lambda each: (each.max_new_tokens, len(each.prompt_ids))),)
