"""Decide what is drawn, by which engine and in which company. Pure: no engine, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from equivcheck.capture.draws.under import Under, with_prompt
from equivcheck.capture.plan import Chunk, Plan, answers_before
from equivcheck.core.engine import UNTOLD, Capabilities
from equivcheck.core.errors import SettingsError
from equivcheck.core.extras import TORCH, has_torch, how_to_install
from equivcheck.core.generation import Prompt, Request
from equivcheck.core.rules import RULES
from equivcheck.core.settings import AUTO, EngineSetup, Settings
from equivcheck.engines.naming import EngineSpec, read_spec
from equivcheck.engines.serving import positions
from equivcheck.records.records import CANDIDATE, SAMPLED, SAMPLED_TARGET
from equivcheck.records.sample_keys import drawn_request

if TYPE_CHECKING:
    from equivcheck.core.cases import Suite

COMPANY_EVERY = 4
"""Drawn cases to one greedy case that is asked beside them."""
CHECKPOINTS = 8
"""Times, over a whole budget, that draws are scored and looked at; more often in its first part."""
FIRST_LOOK = 64
"""Tokens at the first look; then at each doubling. Bets may be looked at whenever one likes
(Ville), and a grossly wrong distribution is refuted within some hundred tokens."""
CACHE_STEP = 128
"""Positions that a smaller cache is rounded up to."""


class DrawPlan(Struct, frozen=True, kw_only=True):
    """What a round asks: every drawn case once, with some greedy cases for company."""

    cases: tuple[Request, ...]
    """In the order of the suites."""
    company: tuple[Request, ...]
    """Greedy cases of the same suites, whose answers are thrown away."""
    arms: tuple[str, ...] = (SAMPLED,)
    """Arms that draw."""
    under: tuple[Under, ...] = ()
    """Schedules under which engines that serve draw some of the cases."""
    answers_before: int = 0
    """Most tokens that answers of earlier turns of a session can add to one of these."""

    @property
    def planned(self) -> dict[str, tuple[str, ...]]:
        """Arm to the keys of the cases that it draws; empty where nothing is drawn."""
        keys = tuple(case.key for case in self.cases)
        return dict.fromkeys(self.arms, keys) if keys else {}

    def with_prompts(self, prompts: Mapping[str, Prompt]) -> DrawPlan:
        """The same with the prompts that the target got, which hang on its answers in a session."""
        cases = tuple(with_prompt(case, prompts) for case in self.cases)
        under = tuple(each.with_prompts(prompts) for each in self.under)
        return msgspec.structs.replace(self, cases=cases, under=under, answers_before=0)

    def round(self, number: int, *, seed: int, arm: str = SAMPLED) -> Chunk:
        """Everything that an arm is asked in a round, counted from 1; company comes in turn."""
        guests = min(len(self.company), math.ceil(len(self.cases) / COMPANY_EVERY))
        first = (number - 1) * guests
        mixed: list[Request] = []
        for place, case in enumerate(self.cases):
            turn, rest = divmod(place, COMPANY_EVERY)
            if rest == 0 and turn < guests:
                guest = self.company[(first + turn) % len(self.company)]
                mixed.append(drawn_request(guest, round=number, seed=seed, arm=arm))
            mixed.append(drawn_request(case, round=number, seed=seed, arm=arm))
        return tuple(mixed)


def plan_draws(
    settings: Settings, suites: Sequence[Suite], plan: Plan, *, candidate: Capabilities
) -> DrawPlan:
    """Choose the cases whose distribution is tested.

    Drawn is what is sampled and stands in a suite that asks for it. Where the candidate's rule does
    not promise the target's tokens, every sampled case is.
    """
    drawn_many_times = {
        suite.key(case) for suite in suites if suite.distribution for case in suite.cases
    }
    requests = [each.request for each in plan.asked]
    # Weights judge draws only where it is known what was drawn, and in which numbers.
    unknown = candidate.dtype == UNTOLD or candidate.text_alone
    no_judge = unknown and settings.law_evidence == "scores"
    off = settings.sampled is None or not candidate.sampled or no_judge
    drawn = () if off else (each for each in requests if not each.sampling.greedy)
    every = not RULES[candidate.rule].same_tokens
    cases = tuple(each for each in drawn if every or each.key in drawn_many_times)
    company = tuple(
        each for each in requests if each.sampling.greedy and each.key in drawn_many_times
    )
    before = answers_before(plan.asked)
    under = tuple(each for each in _under(plan) if each.drawn(cases))
    every_case = (*cases, *(request for each in under for request in each.requests))
    return DrawPlan(
        cases=cases,
        company=company,
        under=under,
        answers_before=max((before[each.key] for each in every_case), default=0),
        arms=(SAMPLED, SAMPLED_TARGET) if settings.law_evidence == "tokens" else (SAMPLED,),
    )


def _under(plan: Plan) -> Iterator[Under]:
    requests = {each.request.key: each.request for each in plan.asked}
    for schedule in plan.schedules:
        of_it = tuple(requests[each.key] for each in schedule.arrivals)
        yield Under(schedule=schedule, requests=of_it)


def refuse_unscorable(draws: DrawPlan, settings: Settings) -> None:
    """Refuse to draw what the pair's weights are to score where nothing can load them.

    Raises:
        SettingsError: with how many cases there are, and what can be done.
    """
    if draws.planned and settings.law_evidence == "scores" and not has_torch():
        raise SettingsError(
            f"{len(draws.cases)} sampled cases are scored by the pair's weights, which needs "
            f"{TORCH}: {how_to_install(TORCH)}; or compare tokens alone with --set "
            f"law_evidence=tokens, or leave these tests out with --set sampled=none"
        )


def may_be_drawn(settings: Settings, suite: Suite) -> bool:
    """Whether cases of a suite may be drawn, as far as that can be said before engines are open.

    Raises:
        SettingsError: the candidate's specification cannot be read.
    """
    spec = read_spec(settings.candidate, settings.engine)
    promised = [name for name, facts in RULES.items() if facts.same_tokens]
    same_tokens = spec.name == "native" and spec.options.get("rule", "coupled") in promised
    return settings.sampled is not None and (suite.distribution or not same_tokens)


def sampled_spec(settings: Settings) -> str:
    """The engine of the arm `sampled`.

    A native candidate that couples draws by rejection there; a recorded one gives its recorded
    draws.

    Raises:
        SettingsError: the candidate's specification cannot be read.
    """
    if settings.sampled not in (None, AUTO):
        return settings.sampled
    spec = EngineSpec.parse(settings.candidate)
    full = read_spec(settings.candidate, settings.engine)
    if full.name == "native" and full.options.get("rule", "coupled") == "coupled":
        return str(msgspec.structs.replace(spec, options=spec.options | {"rule": "rejection"}))
    if full.name == "replay" and full.options.get("arm", CANDIDATE) == CANDIDATE:
        return str(msgspec.structs.replace(spec, options=spec.options | {"arm": SAMPLED}))
    return settings.candidate


def drawing_setup(settings: Settings, plan: DrawPlan) -> EngineSetup:
    """The setup of the arms that draw: a batch of their own, and a cache no longer than needed.

    A context that somebody chose is kept.
    """
    setup = settings.setup
    every = (*plan.cases, *plan.company, *(each for one in plan.under for each in one.requests))
    longest = max((positions(each) for each in every), default=1) + plan.answers_before
    context = setup.context
    if context == EngineSetup().context:
        context = min(context, CACHE_STEP * math.ceil(longest / CACHE_STEP))
    return msgspec.structs.replace(setup, batch_size=settings.sampled_batch, context=context)


class Ahead(NamedTuple):
    """What to draw before the next look."""

    rounds: range
    """Rounds to be whole then; of the first, some may be drawn already."""
    cases: int = 0
    """Cases, from the first, of the round behind them; so many are drawn then."""


def draw_ahead(
    plan: DrawPlan, lengths: Mapping[str, float], *, outputs: int, drawn: int, budget: int
) -> Ahead:
    """What to ask before looking again.

    In the first eighth of the budget as many tokens as are drawn already, and at least
    `FIRST_LOOK`, in whole outputs; then whole rounds that make an eighth, or what is left.

    Args:
        plan: What a round is.
        lengths: Case to the mean length of its outputs, as far as known.
        outputs: Draws so far: so many, in the order of asking.
        drawn: Tokens of them.
        budget: Tokens to draw.
    """
    cases, eighth, left = len(plan.cases), budget / CHECKPOINTS, budget - drawn
    doubled = max(FIRST_LOOK, drawn)
    early = drawn + doubled <= eighth
    wanted = doubled if early else min(eighth, left)
    size, end = 0.0, outputs
    while size < wanted or end == outputs:
        case = plan.cases[end % cases]
        size += max(1.0, lengths.get(case.key, case.max_new_tokens))
        end += 1
    if not early:
        end = cases * math.ceil(end / cases)
    whole, cut = divmod(end, cases)
    return Ahead(rounds=range(outputs // cases + 1, whole + 1), cases=cut)
