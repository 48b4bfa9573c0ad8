"""Measurements made up for tests: known counts and known times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from equivcheck.core.generation import Generation, Step
from equivcheck.core.serving import Emission
from equivcheck.core.settings import EngineSetup
from equivcheck.metrics.load_records import Arrivals, Load, Objectives
from equivcheck.metrics.records import (
    SCHEMA,
    Bench,
    BenchArm,
    BenchHeader,
    BenchSettings,
    Measured,
    MeasuringSession,
    Memory,
    Point,
    Probed,
)
from tests.unit.make import make_capabilities

WORKLOADS = ("chat", "code")
ARMS = (
    BenchArm(name="target", role="target", spec="native:gamma=0", pair="tiny"),
    BenchArm(name="stock", role="stock", spec="native:gamma=0,width=1", pair="tiny"),
    BenchArm(name="native:gamma=4", role="candidate", spec="native:gamma=4", pair="tiny"),
)
CANDIDATE = "native:gamma=4"
STEP = 0.01
TOKENS = 30


def answer(
    key: str,
    *,
    blocks: Iterable[tuple[int, int]],
    step_seconds: float = STEP,
    token: int = 7,
) -> Generation:
    """An answer whose steps drafted and accepted as `blocks` say."""
    steps = tuple(
        Step(drafted=drafted, accepted=accepted, emitted=accepted + 1, seconds=step_seconds)
        for drafted, accepted in blocks
    )
    length = sum(step.emitted for step in steps)
    return Generation(
        key=key,
        token_ids=(token,) * length,
        finish_reason="length",
        prompt_tokens=5,
        steps=steps,
        prefill_seconds=STEP,
        total_seconds=STEP + length * step_seconds,
    )


def plain(key: str, *, seconds: float = STEP) -> Generation:
    """One token a step."""
    return answer(key, blocks=[(0, 0)] * TOKENS, step_seconds=seconds)


def speculative(key: str, *, seconds: float = 0.015, accepted: int = 2) -> Generation:
    """Gamma 4, the same acceptance in every step."""
    return answer(key, blocks=[(4, accepted)] * (TOKENS // (accepted + 1)), step_seconds=seconds)


def speculative_slower_later(key: str) -> Generation:
    """As `speculative`, a little slower for prompts with a higher number."""
    return speculative(key, seconds=0.015 * (1 + 0.01 * int(key.rpartition("-")[2])))


def make_bench(
    *,
    prompts: int = 10,
    candidate: Callable[[str], Generation] = speculative,
    workloads: Sequence[str] = WORKLOADS,
    points: Sequence[Point] = (Point(batch_size=1, context=1024),),
) -> Bench:
    """Three arms; stock steps take 0.8 of the target's."""
    keys = {name: tuple(f"{name}/p-{at}" for at in range(prompts)) for name in workloads}
    give: dict[str, Callable[[str], Generation]] = {
        "target": plain,
        "stock": lambda key: plain(key, seconds=0.8 * STEP),
        CANDIDATE: candidate,
    }
    measured = [
        Measured(
            point=point,
            arm=arm,
            workload=name,
            repeat=0,
            chunk=chunk,
            seconds=sum(step.seconds or 0.0 for step in found.steps),
            generation=found,
        )
        for point in range(len(points))
        for name in workloads
        for chunk, key in enumerate(keys[name])
        for arm, make in give.items()
        if (found := make(key))
    ]
    return Bench(
        header=BenchHeader(
            schema=SCHEMA,
            run="made-up",
            created="2026-01-01T00:00:00+00:00",
            settings=BenchSettings(
                setup=EngineSetup(batch_size=1), arms=ARMS, points=tuple(points), tokens=TOKENS
            ),
            prompts=keys,
            suites=dict.fromkeys(workloads, "0" * 64),
            environment={"device": "cpu"},
        ),
        measured=tuple(measured),
        probed=tuple(
            Probed(
                point=point,
                arm=arm.name,
                capabilities=make_capabilities(
                    engine=arm.spec, num_speculative_tokens=4 if arm.role == "candidate" else 0
                ),
                clock="monotonic",
                memory=Memory(
                    target=1000, draft=200 if arm.role == "candidate" else 0, kv=300, working=50
                ),
                draft_token_seconds=0.001 if arm.role == "candidate" else None,
                step_bytes=1200,
                weight_bytes=1000,
                position_bytes=2,
            )
            for point in range(len(points))
            for arm in ARMS
        ),
        sessions=(MeasuringSession(wall_seconds=10.0, engine_seconds=9.95),),
    )


def make_loaded(
    *,
    runs: int = 10,
    requests: int = 20,
    slower: float = 1.0,
    objectives: Objectives | None = None,
) -> Bench:
    """Every arm under the same load, one request every 0.1 s; first tokens come after 0.2 s.

    The candidate takes 6 ms a token, stock 8 ms, the target 10 ms; of the candidate, `slower` times
    as much.
    """
    arrivals = Arrivals(kind="poisson", requests=requests, rate=10.0)
    point = Point(batch_size=4, context=128, arrivals=arrivals)
    bench = make_bench(prompts=requests, workloads=("code",), points=(point,))
    token = {"target": STEP, "stock": 0.8 * STEP, CANDIDATE: 0.6 * STEP * slower}
    measured = [
        msgspec.structs.replace(
            each, chunk=0, repeat=repeat, load=load_of(each, at=0.1 * each.chunk, seconds=seconds)
        )
        for repeat in range(runs)
        for each in bench.measured
        # Runs differ a little, or nothing would have a spread.
        for seconds in (token[each.arm] * (1 + 0.001 * repeat),)
    ]
    settings = msgspec.structs.replace(bench.header.settings, repeats=runs, objectives=objectives)
    header = msgspec.structs.replace(bench.header, settings=settings)
    return msgspec.structs.replace(bench, header=header, measured=tuple(measured))


def load_of(measured: Measured, *, at: float, seconds: float) -> Load:
    """A request whose first token came after 0.2 s and whose others took `seconds` each."""
    sizes = [step.emitted for step in measured.generation.steps]
    came, emissions = 0.2, [Emission(seconds=0.2, tokens=1)]
    for size in (sizes[0] - 1, *sizes[1:]):
        if size:
            came += size * seconds
            emissions.append(Emission(seconds=came, tokens=size))
    return Load(at=at, asked=0.0, finished=came, emissions=tuple(emissions))
