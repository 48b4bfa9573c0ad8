"""Measures: opens all arms of a point, warms them up, asks them in turn, writes each answer down.

Arms take turns prompt by prompt, and each round starts with another arm, so that a machine that
slows down slows all of them. Where an engine holds its device alone, they are measured one after
the other. Nothing is computed between requests; what that costs is counted.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import msgspec

from equivcheck.bench.arms import WORST
from equivcheck.bench.clocks import Clock, clock_of
from equivcheck.bench.load import Answered, refuse_unless_loadable, under_load
from equivcheck.bench.probing import (
    copy_bandwidth,
    draft_token_seconds,
    measure_memory,
    step_reads,
)
from equivcheck.bench.turns import Chunk, MeasuredChunk, questions, turns_of
from equivcheck.capture.ask import as_answer, closing, own_copies, unusable
from equivcheck.core.engine import Engine
from equivcheck.core.errors import LONGEST_MESSAGE, EngineError, describe
from equivcheck.core.generation import Generation, Request
from equivcheck.core.on_progress import OnProgress
from equivcheck.core.refusals import lacking
from equivcheck.engines.device import choose_device
from equivcheck.engines.limits import inner
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import lent, load_engine
from equivcheck.metrics.bounds import overcounted
from equivcheck.metrics.records import (
    AnswerKey,
    Bench,
    BenchArm,
    BenchHeader,
    Measured,
    MeasuringSession,
    OverheadRecord,
    Probed,
)
from equivcheck.metrics.records_file import BenchWriter


def measure(
    header: BenchHeader,
    requests: Mapping[str, Sequence[Request]],
    writer: BenchWriter,
    *,
    done: Bench,
    progress: OnProgress | None = None,
) -> None:
    """Ask every arm at every point what it has not answered yet.

    Raises:
        EngineError, PairError, SettingsError: an arm cannot be opened, or breaks; names the arm.
    """
    from equivcheck.bench.worst import open_engine

    asked, device = done.asked, choose_device(header.settings.setup)
    clock = clock_of(device)
    if done.bandwidth is None:
        writer.append(copy_bandwidth(device, clock=clock))
    with lent({WORST: open_engine}):
        for point in range(len(header.settings.points)):
            turns = turns_of(header, requests, point=point)
            if all(
                question in asked for turn in turns for question in questions(header, turn, point)
            ):
                continue
            measure_point(
                header, turns, writer, point=point, asked=asked, clock=clock, progress=progress
            )


def measure_point(
    header: BenchHeader,
    turns: Sequence[MeasuredChunk],
    writer: BenchWriter,
    *,
    point: int,
    asked: set[AnswerKey],
    clock: Clock,
    progress: OnProgress | None,
) -> None:
    """Measure all arms in turn, or one after the other where one holds its device alone."""

    def visit(arms: Mapping[str, Engine], *, alone: bool) -> None:
        prepare(header, arms, turns, writer, point=point, clock=clock, alone=alone)
        sit(arms, turns, writer, point=point, asked=asked, clock=clock, progress=progress)
        writer.append(*costs_of_arms(arms, point=point))

    with ExitStack() as stack:
        if arms := open_together(header, point=point, stack=stack):
            visit(arms, alone=False)
            return
    for arm in header.settings.arms:
        wanted = [each for turn in turns for each in questions(header, turn, point)]
        if any(each.arm == arm.name and each not in asked for each in wanted):
            with closing(open_arm(header, arm, point=point), arm=arm.name) as engine:
                visit({arm.name: engine}, alone=True)


def open_together(header: BenchHeader, *, point: int, stack: ExitStack) -> dict[str, Engine] | None:
    """Every arm's engine at a point, by name; the stack closes them. None: they may not be open
    together.
    """
    order, opened = header.settings.order, dict[str, Engine]()
    for arm in header.settings.arms if order != "one at a time" else ():
        engine = stack.enter_context(closing(open_arm(header, arm, point=point), arm=arm.name))
        opened[arm.name] = engine
        if order == "auto" and engine.capabilities.exclusive:
            return None
    return opened or None


def open_arm(header: BenchHeader, arm: BenchArm, *, point: int) -> Engine:
    """The engine of an arm at a point."""
    settings, place = header.settings, header.settings.points[point]
    setup = msgspec.structs.replace(
        settings.setup, pair=arm.pair, batch_size=place.batch_size, context=place.context
    )
    opening = Opening(arm=arm.name, tables=settings.engine, clock=settings.clock)
    return load_engine(arm.spec, setup, opening=opening)


def prepare(
    header: BenchHeader,
    arms: Mapping[str, Engine],
    turns: Sequence[MeasuredChunk],
    writer: BenchWriter,
    *,
    point: int,
    clock: Clock,
    alone: bool,
) -> None:
    """Warm every arm up and write down what can be found out about it apart from timed work."""
    device, first = choose_device(header.settings.setup), turns[0].requests
    if turns[0].times:
        first = first[: header.settings.points[point].batch_size]
    everything = [request for turn in turns for request in turn.requests]
    for name, engine in arms.items():
        # Every prompt needs the same, so that what one arm refuses leaves nothing to compare.
        if needs := lacking(engine.capabilities, first[0]):
            raise EngineError(
                f"arm {name}: its engine refuses {' and '.join(needs)}, which every prompt of a "
                f"measurement asks for: arms that end at different places do not do the same work"
            )
        if turns[0].times:
            refuse_unless_loadable(engine, arm=name)
        bare = inner(engine)
        if isinstance(bare, NativeEngine):
            bare.ready(everything)
        for _ in range(header.settings.warm_ups):
            answers(engine, first, arm=name)
        reads = step_reads(bare)
        memory = measure_memory(bare, partial(answers, engine, first, arm=name), device=device)
        writer.append(
            Probed(
                point=point,
                arm=name,
                capabilities=engine.capabilities,
                clock=clock.name,
                memory=memory,
                draft_token_seconds=draft_token_seconds(bare, first, clock=clock),
                step_bytes=reads.step,
                weight_bytes=reads.weights,
                position_bytes=reads.position,
                alone=alone,
            )
        )


def sit(
    arms: Mapping[str, Engine],
    turns: Sequence[MeasuredChunk],
    writer: BenchWriter,
    *,
    point: int,
    asked: set[AnswerKey],
    clock: Clock,
    progress: OnProgress | None,
) -> None:
    """Put every turn to every arm, starting with another one each time."""
    names, inside = list(arms), 0.0
    started = time.perf_counter()
    for at, turn in enumerate(turns):
        for name in names[at % len(names) :] + names[: at % len(names)]:
            wanted = [AnswerKey(point, name, each.key, turn.repeat) for each in turn.requests]
            if all(question in asked for question in wanted):
                continue
            engine = arms[name]
            found, spent = clock.time(partial(put, engine, turn, arm=name))
            inside += spent.wall
            for request, (each, load) in zip(turn.requests, found, strict=True):
                untimed = None if load is None else load.wrong(length=len(each.token_ids))
                if wrong := unusable(each, request) or overcounted(each) or untimed:
                    raise EngineError(f"arm {name}: {wrong[:LONGEST_MESSAGE]}")
            writer.append(
                *(
                    Measured(
                        point=point,
                        arm=name,
                        workload=turn.workload,
                        repeat=turn.repeat,
                        chunk=turn.chunk,
                        seconds=spent.seconds,
                        generation=msgspec.structs.replace(each, scores=None, logit_digests=None),
                        load=load,
                    )
                    for each, load in found
                )
            )
        if progress is not None:
            progress(f"point {point + 1}", at + 1, len(turns))
    writer.append(
        MeasuringSession(wall_seconds=time.perf_counter() - started, engine_seconds=inside)
    )


def costs_of_arms(arms: Mapping[str, Engine], *, point: int) -> list[OverheadRecord]:
    """What each arm says that it has cost beside its steps; an engine need not say.

    What an adapter has under that name for itself is not for the records.
    """
    told = {name: getattr(engine, "costs", ()) for name, engine in arms.items()}
    return [
        OverheadRecord(point=point, arm=name, notes=notes)
        for name, notes in told.items()
        if isinstance(notes, tuple) and notes and all(isinstance(note, str) for note in notes)
    ]


def put(engine: Engine, turn: MeasuredChunk, *, arm: str) -> list[Answered]:
    """What an engine makes of a turn.

    Raises:
        EngineError: as `answers` does.
    """
    if turn.times:
        return under_load(engine, turn.requests, turn.times, arm=arm)
    return [Answered(each) for each in answers(engine, turn.requests, arm=arm)]


def answers(engine: Engine, requests: Chunk, *, arm: str) -> list[Generation]:
    """An engine's answers to a chunk, in the order of asking.

    Raises:
        EngineError: it broke, or answered anything else than what it was asked.
    """
    copies = own_copies(requests)
    try:
        given: list[object] = list(engine.generate(copies))
    # An adapter may raise anything; here it ends the measurement, which can be resumed.
    except (Exception, SystemExit) as error:
        raise EngineError(f"arm {arm} broke: {describe(error)}") from error
    answered = (as_answer(each, who=f"arm {arm}") for each in given)
    found = {each.key: each for each in answered}
    if found.keys() != {request.key for request in requests}:
        raise EngineError(f"arm {arm} answered {len(found)} of {len(requests)} requests")
    return [found[request.key] for request in requests]
