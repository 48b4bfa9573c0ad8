"""Run every arm over the suites and write down what it answers, as it answers.

The only place where engines run for a verdict. Arms take turns, chunk by chunk, so that a machine
that warms up or slows down does so for all of them; or answer one after the other, where an engine
holds its device alone. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from equivcheck.capture.arms import ONE_AT_A_TIME, Arms, ArmSetup
from equivcheck.capture.ask import ask
from equivcheck.capture.draws.plan import (
    DrawPlan,
    drawing_setup,
    plan_draws,
    refuse_unscorable,
    sampled_spec,
)
from equivcheck.capture.draws.start import draw, open_served
from equivcheck.capture.fit import (
    limited,
    refuse_beyond_models,
    refuse_too_long,
    refuse_unknown_ids,
)
from equivcheck.capture.header import make_header
from equivcheck.capture.logbook import Logbook
from equivcheck.capture.plan import Plan, make_plan, shuffle, warm_up, with_stored_prompts
from equivcheck.capture.replicas import ask_replicas, with_replicas
from equivcheck.capture.served import served
from equivcheck.capture.services import serve_suites, unserved, with_services
from equivcheck.capture.thread_choice import TimeThreads, with_threads
from equivcheck.checks.exercised import with_required_events
from equivcheck.core.cases import Suite
from equivcheck.core.detokenise import detokeniser
from equivcheck.core.engine import Engine
from equivcheck.core.on_progress import OnProgress
from equivcheck.core.settings import Settings
from equivcheck.engines.opening import LOGS, Opening
from equivcheck.engines.serving import LOADING
from equivcheck.records.asking_order import company_of
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    DRAWING,
    REPEAT,
    SAMPLED,
    SAMPLED_TARGET,
    SCORER,
    SERVES,
    SHUFFLED,
    TARGET,
    Evidence,
)
from equivcheck.records.records_file import (
    RECORDS_NAME,
    RecordsWriter,
    interrupted_evidence,
    read_evidence,
)
from equivcheck.records.shards import Which

__all__ = ["MakeWay", "TimeThreads", "capture"]

MakeWay = Callable[[Path], object]
"""Called with the folder of the run."""
TURNS = (TARGET, CANDIDATE, CONTROL)
"""Arms that answer in turn."""


def capture(
    settings: Settings,
    suites: Sequence[Suite],
    folder: Path,
    *,
    resume: bool = False,
    make_way: MakeWay | None = None,
    more: bool = False,
    which: Which | None = None,
    time_threads: TimeThreads | None = None,
    progress: OnProgress | None = None,
) -> Path:
    """Ask every arm what the plan says; the path of the records file.

    Args:
        settings: Arms, pair and strictness.
        suites: What to ask.
        folder: The run's; its name is the run's id.
        resume: Go on with the records in it. What they hold is not asked again, and the prompts
            stored in them are those that are asked.
        make_way: Takes away what a new run replaces, when its first answer is there and no sooner:
            until then it may turn out that it cannot be made. None: an occupied folder is refused.
        more: Draw another budget of sampled tokens, on top of what was drawn.
        which: Ask only the cases of one shard. None: all.
        time_threads: Chooses the number of CPU threads of a new run where none is set and all
            engines compute with this process's torch. None: torch's own stays.
        progress: Told after each answer.

    Raises:
        SuiteError, SettingsError, PairError: something cannot be used as it is, a case that does
            not fit the context or the vocabulary included.
        EngineError: an engine cannot be opened, breaks the protocol, or answers no case at all.
        RecordsError: the folder holds records already, or those of another run.
    """
    settings = with_required_events(settings)
    from equivcheck.pairs.prompts import encode, encode_turns
    from equivcheck.pairs.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings.setup.pair)
    plan = make_plan(
        settings,
        suites,
        encode=partial(encode, tokenizer),
        follow=partial(encode_turns, tokenizer),
        which=which,
    )
    if limited(settings, by=LOADING):
        from equivcheck.engines.device import load_setup

        pair = load_setup(settings.setup)
        # Before the context: a larger one would not help.
        refuse_beyond_models(plan.asked, pair.extents)
        refuse_unknown_ids(plan.asked, vocab=pair.vocab_size)
    if limited(settings):
        refuse_too_long(plan.asked, context=settings.setup.context)
    path = folder / RECORDS_NAME
    stored = interrupted_evidence(path) if resume else None
    settings, timed = with_threads(
        settings, stored=stored.header if stored else None, time_threads=time_threads
    )
    opening = Opening(
        tables=settings.engine,
        clock=settings.clock,
        logs=folder.absolute() / LOGS,
        resumed=resume,
    )
    with (
        Arms(settings, opening=opening, stored=stored.header if stored else None) as arms,
        ExitStack() as stack,
    ):
        candidate = arms.told(CANDIDATE)
        plan = served(plan, {CANDIDATE: candidate}, batch_size=settings.setup.batch_size)
        draws = plan_draws(settings, suites, plan, candidate=candidate)
        add_drawing(arms, settings, draws)
        refuse_unscorable(draws, settings)
        arms.open_all(*begin_with(plan.planned | draws.planned, stored))
        if SCORER in arms:
            # What cannot score is said before anything is asked.
            from equivcheck.engines.http.scorer import open_scorer

            open_scorer(arms[SCORER])
        plan = served(plan, arms.heard(), batch_size=settings.setup.batch_size)
        plan = with_replicas(with_services(plan, arms.heard()), settings)
        draws = plan_draws(settings, suites, plan, candidate=candidate)
        # Of engines that load the models elsewhere: the first time that this process loads them.
        if limited(settings) and settings.scorer is None:
            from equivcheck.engines.device import load_setup

            refuse_beyond_models(plan.asked, load_setup(settings.setup).extents)
        header = make_header(
            settings,
            suites,
            plan,
            draws,
            arms=arms.described(*(arm for arm in arms if arm != REPEAT)),
            order=arms.order,
            run=folder.resolve().name,
            threads_timed=timed,
        )
        if resume:
            writer, evidence = RecordsWriter.resume(path, header)
            plan = with_stored_prompts(plan, evidence.asked)
        else:
            writer = (
                RecordsWriter.create(path, header)
                if make_way is None
                else RecordsWriter.later(path, header, make_way=partial(make_way, folder))
            )
            evidence = Evidence(header=header, asked={}, captured={})
        arms.writer = stack.enter_context(writer)
        book = Logbook(
            plan, evidence, writer=writer, detokenise=detokeniser(tokenizer), progress=progress
        )
        ask_arms(book, arms, settings=settings)
        # While the target is open: it is asked for what the scorer is compared by.
        served_by = None
        if draws.planned:
            served_by = open_served(read_evidence(path, scores=False), arms)
        arms.close(*TURNS)
        ask_again(book, arms)
        ask_replicas(book, arms)
        book.refuse_silence()
        if draws.planned:
            # What it says of itself decides what its draws are tested for.
            arms.told(SAMPLED)
            evidence = read_evidence(path, scores=False)
            draw(
                draws.with_prompts(book.prompts(evidence.asked)),
                evidence,
                arms,
                writer=writer,
                folder=folder,
                detokenise=detokeniser(tokenizer),
                served=served_by,
                more=more,
                progress=progress,
            )
    return path


def add_drawing(arms: Arms, settings: Settings, draws: DrawPlan) -> None:
    """Say how the engines of the arms that draw are opened."""
    specs = {SAMPLED: sampled_spec(settings), SAMPLED_TARGET: settings.target}
    setup = drawing_setup(settings, draws)
    for arm in draws.planned:
        arms.places[arm] = ArmSetup(specs[arm], setup)


def begin_with(planned: Mapping[str, Sequence[str]], stored: Evidence | None) -> list[str]:
    """Arms that have something to answer as the run begins; stored draws are looked at later."""
    if stored is None:
        return [arm for arm in (*TURNS, *sorted(DRAWING)) if planned.get(arm)]
    answered = {arm: stored.answers(arm) for arm in TURNS}
    return [arm for arm in TURNS if any(key not in answered[arm] for key in planned.get(arm, ()))]


def ask_arms(book: Logbook, arms: Arms, *, settings: Settings) -> None:
    """Put every chunk to each arm that has something to answer, and the probes to the candidate."""
    asked = [arm for arm in TURNS if arm in arms and book.missing(arm)]
    if book.missing(SHUFFLED) and CANDIDATE not in asked:
        asked.append(CANDIDATE)
    asked += [arm for arm in SERVES if arm not in asked and unserved(book, arm=arm)]
    # The candidate first: it is open already, for what is planned follows from what it is.
    one_by_one = [[arm] for arm in sorted(asked, key=lambda arm: arm != CANDIDATE)]
    for together in one_by_one if arms.order == ONE_AT_A_TIME else [asked]:
        take_turns(book, {arm: arms[arm] for arm in together})
        if CANDIDATE in together:
            ask_shuffled(book, arms[CANDIDATE], settings=settings)
        for arm in together:
            serve_suites(book, arms[arm], arm=arm)


def take_turns(book: Logbook, engines: Mapping[str, Engine]) -> None:
    """Put every chunk to each arm in turn."""
    for arm, engine in engines.items():
        warm_up_engine(book.plan, engine, arm=arm, needed=bool(book.missing(arm)))
    for chunk in book.plan.chunks:
        for arm, engine in engines.items():
            alone = arm == CONTROL and engine.capabilities.batch_size == 1
            for together in [(request,) for request in chunk] if alone else [chunk]:
                book.put(engine, together, arm=arm)


def warm_up_engine(plan: Plan, engine: Engine, *, arm: str, needed: bool) -> None:
    """Have an engine answer once before it counts. What fails here fails again where it counts."""
    if needed:
        list(ask(engine, warm_up(plan), arm=arm))


def ask_shuffled(book: Logbook, engine: Engine, *, settings: Settings) -> None:
    """Put the probes to the candidate again, in another order and company, a wave in one go."""
    wanted = book.missing(SHUFFLED)
    company = company_of(settings.setup.batch_size)
    for chunk in shuffle(book.plan, wanted=wanted, seed=settings.seed, company=company):
        book.ask(engine, chunk, arm=SHUFFLED)


def ask_again(book: Logbook, arms: Arms) -> None:
    """Put the probes to a new engine of the candidate's kind, as the candidate got them."""
    if not book.missing(REPEAT):
        return
    engine = arms[REPEAT]
    warm_up_engine(book.plan, engine, arm=REPEAT, needed=True)
    for chunk in book.plan.probes:
        book.put(engine, chunk, arm=REPEAT)
    arms.close(REPEAT)
