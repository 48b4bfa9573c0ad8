"""Draw sampled cases while an engine serves them, among others that come and are given up.

Which answers count must not hang on what was drawn. A request that is given up and asked again has
a seed of its own the first time, is asked again even if it had ended by then, and only the second
answer counts: else those that ended early would count more often. One that is given up for good is
company.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from msgspec import Struct
from msgspec.structs import replace

from equivcheck.capture.ask import as_answer, named, own_copies, unusable
from equivcheck.capture.serve import ScheduleRun
from equivcheck.core.engine import Engine
from equivcheck.core.errors import LONGEST_MESSAGE, EngineGoneError, describe
from equivcheck.core.generation import Generation, Prompt, Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.serving import ServingEngine
from equivcheck.records.records import Failed, ServedRun
from equivcheck.records.sample_keys import Draw, drawn_request, parse_draw

TOLD = ("given up", "preempted")
"""What is kept of a service of draws."""
FIRST_TIME = "given up"
"""Names the stream of an answer that does not count."""


class Under(Struct, frozen=True, kw_only=True):
    """A schedule, and the requests of all who come in it."""

    schedule: Schedule
    requests: tuple[Request, ...]

    def drawn(self, cases: Sequence[Request]) -> frozenset[str]:
        """The keys of those among some cases whose answers come under the schedule."""
        kept = {
            each.key
            for each in self.schedule.arrivals
            if each.give_up_after is None or each.retry is not None
        }
        return frozenset(case.key for case in cases if case.key in kept)

    def with_prompts(self, prompts: Mapping[str, Prompt]) -> Under:
        """The same with the prompts that the target got, by key."""
        return replace(self, requests=tuple(with_prompt(each, prompts) for each in self.requests))

    def of_rounds(self, rounds: Sequence[int]) -> Schedule:
        """Several rounds at once, side by side, with the memory of all of them."""
        limits = self.schedule.limits
        if limits.live_tokens is not None:
            limits = replace(limits, live_tokens=limits.live_tokens * len(rounds))
        return replace(
            self.schedule,
            arrivals=tuple(
                replace(
                    each,
                    key=Draw(each.key, number).key,
                    after=tuple(Draw(key, number).key for key in each.after),
                )
                for number in rounds
                for each in self.schedule.arrivals
            ),
            limits=limits,
        )


def with_prompt(request: Request, prompts: Mapping[str, Prompt]) -> Request:
    """A request with the prompt of its key."""
    prompt = prompts[request.key]
    return replace(request, prompt_ids=prompt.ids, conversation=prompt.conversation)


class UnderTold(NamedTuple):
    """What came of some rounds under a schedule."""

    outcomes: list[Generation | Failed]
    """Outcomes of the draws that were wanted."""
    run: ServedRun | None
    """None: it was not served to its end."""


def draw_under(
    engine: Engine,
    under: Under,
    rounds: Sequence[int],
    *,
    wanted: frozenset[str],
    seed: int,
    arm: str,
    pace: Callable[[str], float | None],
) -> UnderTold:
    """Serve some rounds, and take what is wanted of them; where it breaks, none of it.

    Args:
        engine: That serves.
        under: Schedule and requests.
        rounds: From 1.
        wanted: Keys of draws.
        seed: `Header.draw_seed`.
        arm: That draws.
        pace: From a case to the seconds that one of its tokens takes; None: not known.

    Raises:
        EngineGoneError: the engine says that it can answer nothing more.
    """
    requests = {each.key: each for each in under.requests}
    drawn: dict[str, Request] = {}
    again = _come_again(under.schedule.arrivals)

    def request_of(key: str) -> Request:
        case, number = parse_draw(key)
        first = case in again and key not in drawn
        stream = f"{arm} {FIRST_TIME}" if first else arm
        drawn[key] = drawn_request(requests[case], round=number, seed=seed, arm=stream)
        (own,) = own_copies([drawn[key]])
        return own

    answers: dict[str, Generation] = {}

    def answered(answer: Generation) -> None:
        answers[answer.key] = as_answer(answer, who=named(engine, arm=arm))

    schedule = under.of_rounds(rounds)
    try:
        service = cast("ServingEngine", engine).serve(schedule.limits)
        found = ScheduleRun(
            service,
            schedule,
            request_of,
            answered=answered,
            pace=lambda key: pace(parse_draw(key).case),
            insists=True,
        ).whole()
    except EngineGoneError:
        raise
    # An adapter may raise anything; a failure is recorded and never taken for an answer.
    except (Exception, SystemExit) as error:
        told = f"while {under.schedule.name} was served: {describe(error)}"[:LONGEST_MESSAGE]
        return UnderTold([Failed(arm=arm, key=key, message=told) for key in sorted(wanted)], None)
    outcomes = [_outcome(answers.get(key), drawn[key], arm=arm) for key in sorted(wanted)]
    return UnderTold(outcomes, _kept(found, under, arm=arm, by_clock=service.by_clock))


def _come_again(arrivals: Sequence[Arrival]) -> frozenset[str]:
    return frozenset(each.key for each in arrivals if each.give_up_after and each.retry)


def _outcome(answer: Generation | None, request: Request, *, arm: str) -> Generation | Failed:
    wrong = "the engine ended without an answer" if answer is None else unusable(answer, request)
    if answer is None or wrong:
        return Failed(arm=arm, key=request.key, message=(wrong or "")[:LONGEST_MESSAGE])
    return answer


def _kept(found: Served, under: Under, *, arm: str, by_clock: bool) -> ServedRun:
    """What is written down: nothing that draws say themselves."""
    events = tuple(
        replace(each, key=parse_draw(each.key).case, after=None, source=None)
        for each in found.of(*TOLD)
    )
    return ServedRun(arm=arm, schedule=under.schedule, events=events, by_clock=by_clock)
