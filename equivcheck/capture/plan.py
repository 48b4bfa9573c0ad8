"""Decide what every arm is asked, in which order and company. Pure: no engine, no clock.

The cases that are also asked again (arms `repeat` and `shuffled`) come first and share batches with
each other only, so that a fresh engine can be given exactly what the candidate was given before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import replace

from equivcheck.capture.prompts import Encode, Follow, FollowUpPrompt, PlannedPrompts
from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import SuiteError
from equivcheck.core.generation import Prompt, Request
from equivcheck.core.schedule import leaders_of
from equivcheck.core.service_schedule import Schedule, schedule_of
from equivcheck.core.settings import Settings
from equivcheck.records.asking_order import by_wave, in_turns, mixed_up
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SHUFFLED,
    TARGET,
    LeftOut,
    RequestRecord,
)
from equivcheck.records.sample_keys import derive_seed
from equivcheck.records.shards import Shard, Which

Chunk = tuple[Request, ...]
"""Requests that are put to an engine together."""


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that will be asked."""

    asked: tuple[RequestRecord, ...]
    """In the order of the suites."""
    probes: tuple[Chunk, ...]
    """Chunks of the cases that are asked again."""
    others: tuple[Chunk, ...]
    """Chunks of all other cases."""
    planned: dict[str, tuple[str, ...]]
    """Arm to case keys, in the order of the suites."""
    left_out: tuple[LeftOut, ...] = ()
    """Cases that are asked of no arm."""
    shard: Shard | None = None
    """Which part of the selected cases this is; None: all of them."""
    turns: dict[str, FollowUpPrompt] = {}
    """Key of each later turn of a session to how its prompt is made."""
    timed: tuple[Schedule, ...] = ()
    """Schedule of each suite whose requests have times, whether all of them are asked or not."""

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules of what is asked."""
        asked = {each.request.key for each in self.asked}
        own = (each.among(asked) for each in self.timed)
        return tuple(each for each in own if each.arrivals)

    @property
    def waves(self) -> dict[str, int]:
        """Key to the wave in which it is asked."""
        return {each.request.key: each.wave for each in self.asked}

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks, in the order they are asked."""
        return self.probes + self.others


def make_plan(
    settings: Settings,
    suites: Sequence[Suite],
    *,
    encode: Encode,
    follow: Follow | None = None,
    which: Which | None = None,
) -> Plan:
    """Turn cases into requests and share them out; what is asked again is whole sessions.

    Args:
        settings: Arms, batch and seed.
        suites: What to ask.
        encode: Makes prompts.
        follow: Makes prompts that follow others. None: there are none.
        which: The shard that is asked. None: all.

    Which cases are asked again, and what each is asked, is the same whatever shard they are in.

    Raises:
        SuiteError: a prompt cannot be encoded, or there are fewer cases than shards.
    """
    shard = shard_of(suites, which) if which else None
    own = shard.cases if shard else None
    asked: list[RequestRecord] = []
    turns: dict[str, FollowUpPrompt] = {}
    probed: set[str] = set()
    for suite in suites:
        prompts = PlannedPrompts(suite, encode=encode, follow=follow)
        for index, (case, line) in enumerate(zip(suite.cases, suite.lines, strict=True)):
            key, prompt, turn = suite.key(case), prompts.of(case), prompts.turn(case)
            if own is not None and key not in own:
                continue
            request = make_request(key, case, prompt=prompt, seed=settings.seed)
            if turn is not None:
                turns[key] = turn
            asked.append(
                RequestRecord(
                    request=request,
                    workload=suite.workload,
                    path=suite.path,
                    line=line,
                    session=case.session,
                    before=turn.before if turn else (),
                    wave=prompts.waves[case.id],
                )
            )
            first = index % settings.probe_every == 0 if turn is None else turn.before[0] in probed
            if first:
                probed.add(request.key)
    requests = [each.request for each in asked]
    return Plan(
        asked=tuple(asked),
        **chunks_of(asked, probed=probed, size=settings.setup.batch_size),
        planned=share_out(requests, probed=probed, control=settings.control is not None),
        turns=turns,
        timed=tuple(schedule_of(suite) for suite in suites if suite.timed),
        shard=shard,
    )


class Chunks(TypedDict):
    """The chunks of a plan."""

    probes: tuple[Chunk, ...]
    others: tuple[Chunk, ...]


def chunks_of(asked: Sequence[RequestRecord], *, probed: Set[str], size: int) -> Chunks:
    """Requests in chunks: wave by wave, those that are asked again by themselves."""
    waves = {each.request.key: each.wave for each in asked}

    def chunks(*, again: bool) -> tuple[Chunk, ...]:
        requests = (each.request for each in asked if (each.request.key in probed) is again)
        return in_turns(requests, size=size, wave=lambda request: waves[request.key])

    return Chunks(probes=chunks(again=True), others=chunks(again=False))


def answers_before(asked: Sequence[RequestRecord]) -> dict[str, int]:
    """Key to the most tokens that answers of earlier turns can add to its prompt.

    An answer that is encoded anew, as text, may take a few more.
    """
    limits = {each.request.key: each.request.max_new_tokens for each in asked}
    return {each.request.key: sum(limits[turn] for turn in each.before) for each in asked}


def shard_of(suites: Sequence[Suite], which: Which) -> Shard:
    """One shard of all cases of some suites; cases that belong together stay so.

    Raises:
        SuiteError: there are more shards than cases that belong to no other.
    """
    keys = tuple(suite.key(case) for suite in suites for case in suite.cases)
    leaders = leaders_of(suites)
    if which.of > len(keys) - len(leaders):
        raise SuiteError(
            f"{which.of} shards of {len(keys)} cases, of which {len(leaders)} belong to "
            f"earlier ones: some would have none"
        )
    return Shard(index=which.number, of=which.of, keys=keys, leaders=leaders)


def with_stored_prompts(plan: Plan, stored: Mapping[str, RequestRecord]) -> Plan:
    """The plan of a run that is resumed: its cases keep the requests that were asked before.

    A chat template may write the date, and so encode the same case to other ids than then. The
    answers that are stored and those to come have to be answers to the same prompt.
    """

    def kept(request: Request) -> Request:
        if request.key not in stored:
            return request
        return replace(stored[request.key].request, conversation=request.conversation)

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


def make_request(key: str, case: Case, *, prompt: Prompt, seed: int) -> Request:
    """What an engine is asked for a case; ``seed`` is the run's."""
    return Request(
        key=key,
        prompt_ids=prompt.ids,
        conversation=prompt.conversation,
        max_new_tokens=case.max_new_tokens,
        sampling=case.sampling,
        stop=case.stop,
        stop_token_ids=case.stop_token_ids,
        ignore_eos=case.ignore_eos,
        seed=derive_seed(seed, key) if case.seed is None else case.seed,
    )


def shuffle(plan: Plan, *, wanted: set[str], seed: int, company: int) -> tuple[Chunk, ...]:
    """The wanted requests of each wave in another order, the first among others for company.

    Args:
        plan: Where the requests are.
        wanted: Keys whose answers count.
        seed: Of the permutations.
        company: How many further requests to mix in, as far as there are some.
    """
    waves = plan.waves
    others = [each for chunk in plan.others for each in chunk if waves[each.key] == 0]
    chosen = [request for chunk in plan.probes for request in chunk if request.key in wanted]
    return tuple(
        mixed_up(together, others, seed=seed, company=company)
        if waves[together[0].key] == 0
        else mixed_up(together, (), seed=seed, company=0)
        for together in by_wave(chosen, wave=lambda request: waves[request.key])
    )


def warm_up(plan: Plan) -> Chunk:
    """The request that an engine warms up with: the shortest, as its answer is thrown away."""
    every = [each.request for each in plan.asked if not each.before]
    return (min(every, key=lambda each: (each.max_new_tokens, len(each.prompt_ids))),)
