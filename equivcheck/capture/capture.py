"""Run every arm over the suites and write down what it answers, as it answers.

The only place where engines run for a verdict. Arms take turns, chunk by chunk, so that a machine
that warms up or slows down does so for all of them. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from equivcheck.capture.ask import ask, closing
from equivcheck.capture.draws.plan import DrawPlan, drawing_setup, plan_draws, sampled_spec
from equivcheck.capture.draws.start import draw
from equivcheck.capture.fit import limited, refuse_too_long, refuse_unknown_ids
from equivcheck.capture.header import make_header
from equivcheck.capture.logbook import Logbook, Progress
from equivcheck.capture.plan import Plan, make_plan, shuffle, warm_up, with_stored_prompts
from equivcheck.capture.threads import spin_briefly
from equivcheck.core.cases import Suite
from equivcheck.core.detokenise import detokeniser
from equivcheck.core.engine import Engine
from equivcheck.core.settings import Settings
from equivcheck.engines.device import load_setup
from equivcheck.engines.registry import load_engine
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SAMPLED,
    SAMPLED_TARGET,
    SHUFFLED,
    TARGET,
    Evidence,
)
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, read_evidence

__all__ = ["MakeWay", "Progress", "capture"]

MakeWay = Callable[[Path], object]
"""Called with the folder of the run."""


def capture(
    settings: Settings,
    suites: Sequence[Suite],
    folder: Path,
    *,
    resume: bool = False,
    make_way: MakeWay | None = None,
    more: bool = False,
    progress: Progress | None = None,
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
        progress: Told after each answer.

    Raises:
        SuiteError, SettingsError, PairError: something cannot be used as it is, a case that does
            not fit the context or the vocabulary included.
        EngineError: an engine cannot be opened, breaks the protocol, or answers no case at all.
        RecordsError: the folder holds records already, or those of another run.
    """
    spin_briefly()
    from equivcheck.pairs.load import load_tokenizer
    from equivcheck.pairs.prompts import encode

    tokenizer = load_tokenizer(settings.setup.pair)
    plan = make_plan(settings, suites, encode=partial(encode, tokenizer))
    if limited(settings):
        refuse_too_long(plan.asked, context=settings.setup.context)
        refuse_unknown_ids(plan.asked, vocab=load_setup(settings.setup).vocab_size)
    path = folder / RECORDS_NAME
    with ExitStack() as outer:
        with ExitStack() as stack:
            engines = open_engines(settings, stack)
            draws = plan_draws(settings, suites, plan, candidate=engines[CANDIDATE].capabilities)
            drawing = open_drawing_engines(settings, draws, outer)
            header = make_header(
                settings,
                suites,
                plan,
                draws,
                engines=engines | drawing,
                run=folder.resolve().name,
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
            outer.enter_context(writer)
            book = Logbook(
                plan, evidence, writer=writer, detokenise=detokeniser(tokenizer), progress=progress
            )
            take_turns(book, engines)
            ask_shuffled(book, engines[CANDIDATE], settings=settings)
        ask_again(book, settings)
        book.refuse_silence()
        if drawing:
            evidence = read_evidence(path, scores=False)
            draw(
                draws,
                evidence,
                drawing,
                writer=writer,
                folder=folder,
                detokenise=detokeniser(tokenizer),
                more=more,
                progress=progress,
            )
    return path


def open_engines(settings: Settings, stack: ExitStack) -> dict[str, Engine]:
    """The engines that take turns, by arm; the stack closes them."""
    specs = {TARGET: settings.target, CANDIDATE: settings.candidate}
    if settings.control is not None:
        specs[CONTROL] = settings.control
    return {
        arm: stack.enter_context(closing(load_engine(spec, settings.setup), arm=arm))
        for arm, spec in specs.items()
    }


def open_drawing_engines(
    settings: Settings, draws: DrawPlan, stack: ExitStack
) -> dict[str, Engine]:
    """The engines of the arms that draw, by arm; none where nothing is drawn."""
    specs = {SAMPLED: sampled_spec(settings), SAMPLED_TARGET: settings.target}
    setup = drawing_setup(settings, draws)
    return {
        arm: stack.enter_context(closing(load_engine(specs[arm], setup), arm=arm))
        for arm in draws.planned
    }


def take_turns(book: Logbook, engines: dict[str, Engine]) -> None:
    """Put every chunk to each arm in turn."""
    for arm, engine in engines.items():
        warm_up_engine(book.plan, engine, arm=arm, needed=bool(book.missing(arm)))
    for chunk in book.plan.chunks:
        for arm, engine in engines.items():
            book.put(engine, chunk, arm=arm)


def warm_up_engine(plan: Plan, engine: Engine, *, arm: str, needed: bool) -> None:
    """Have an engine answer once before it counts. What fails here fails again where it counts."""
    if needed:
        list(ask(engine, warm_up(plan), arm=arm))


def ask_shuffled(book: Logbook, engine: Engine, *, settings: Settings) -> None:
    """Put the probes to the candidate again, in another order and company, in one go."""
    wanted = book.missing(SHUFFLED)
    company = settings.setup.batch_size // 2
    chunk = shuffle(book.plan, wanted=wanted, seed=settings.seed, company=company)
    if wanted:
        book.take_all(ask(engine, chunk, arm=SHUFFLED), arm=SHUFFLED)


def ask_again(book: Logbook, settings: Settings) -> None:
    """Put the probes to a new engine of the candidate's kind, as the candidate got them."""
    if not book.missing(REPEAT):
        return
    with closing(load_engine(settings.candidate, settings.setup), arm=REPEAT) as engine:
        warm_up_engine(book.plan, engine, arm=REPEAT, needed=True)
        for chunk in book.plan.probes:
            book.put(engine, chunk, arm=REPEAT)
