"""The records of a measurement: the nouns of `bench.jsonl`. Reading and writing is
`records_file.py`.

One `BenchHeader`, then `Probed`, `Bandwidth`, `Measured`, `OverheadRecord` and `MeasuringSession`
lines as they come. Raw counts and seconds only: every rate follows from them, in
`equivcheck.metrics`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.engine_tables import EngineTable, TimeLimits
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Order
from equivcheck.metrics.chunks import in_chunks
from equivcheck.metrics.load_records import Arrivals, Load, Objectives

SCHEMA = 1

TARGET = "target"
"""Arm: plain decoding by the identity contract, what speedups are against."""
STOCK = "stock"
"""Arm: plain decoding one token wide, without the contract."""

Role = Literal["target", "stock", "candidate", "other"]


class Point(Struct, frozen=True, kw_only=True):
    """One setting at which all arms are compared."""

    batch_size: int
    context: int
    """Positions of the cache."""
    filled: bool = False
    """Whether prompts are lengthened until prompt and output fill the context."""
    refills: int = 0
    """Times that each row is given another prompt when it is done with one."""
    arrivals: Arrivals | None = None
    """When requests come; None: as soon as there is a row for them."""

    @property
    def name(self) -> str:
        """``batch 1, context 1024``."""
        load = f", {self.arrivals.name}" if self.arrivals else ""
        return f"{self.batch}, context {self.context}{' filled' * self.filled}{load}"

    @property
    def batch(self) -> str:
        """``batch 8 refilled 3 times``."""
        return f"batch {self.batch_size}{refilled(self.refills)}"

    @property
    def together(self) -> int:
        """Prompts that are asked at a time, or of one run."""
        return self.arrivals.requests if self.arrivals else self.batch_size * (1 + self.refills)


def refilled(times: int) -> str:
    """What to say behind a batch; nothing where its rows are not refilled."""
    if not times:
        return ""
    return " refilled once" if times == 1 else f" refilled {times} times"


class BenchArm(Struct, frozen=True, kw_only=True):
    """One decoder that is measured."""

    name: str
    role: Role
    spec: str
    """Engine, as for `load_engine`."""
    pair: str


class BenchSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured: enough to measure it again."""

    setup: EngineSetup
    """Set-up of the first point; a point's batch size and context replace its own."""
    arms: tuple[BenchArm, ...]
    points: tuple[Point, ...]
    tokens: int
    """New tokens a prompt; end-of-text ids do not end it, so that all arms do equal work."""
    repeats: int = 1
    warm_ups: int = 1
    """Requests an arm answers before it counts."""
    order: Order | Literal["auto"] = "auto"
    """auto: in turn, unless an engine says that it holds its device alone."""
    clock: TimeLimits = TimeLimits()
    """Limits on the time that engines in processes of their own take."""
    engine: dict[str, EngineTable] = {}
    """Engines by a name of the user's own, which arms may use."""
    objectives: Objectives | None = None
    """Limits that make a request under load a good one; None: none were stated."""


class BenchShard(Struct, frozen=True, kw_only=True):
    """That a measurement is one shard of a larger one."""

    index: int
    """From 1."""
    of: int


class BenchPart(Struct, frozen=True, kw_only=True):
    """One shard of a merged measurement."""

    index: int
    run: str
    created: str
    prompts: dict[str, tuple[str, ...]]
    """As in `BenchHeader`, of this shard alone: chunks are filled within shards."""
    seal: str
    """Of its last line: stands for every line of its records."""


class BenchHeader(Struct, frozen=True, kw_only=True, tag="header", omit_defaults=True):
    """The manifest of a measurement."""

    schema: int
    run: str
    created: str
    """UTC, ISO 8601."""
    settings: BenchSettings
    prompts: dict[str, tuple[str, ...]]
    """Workload to the keys of its prompts, as the largest batch is filled with them."""
    prompt_digests: dict[str, str] = {}
    """Their keys to `Request.prompt_digest`; empty in measurements from before it was kept."""
    suites: dict[str, str]
    """Workload to the digest of its suite file."""
    environment: dict[str, str]
    models: dict[str, str] = {}
    git_commit: str | None = None
    git_dirty: bool | None = None
    shard: BenchShard | None = None
    """Which part of a measurement this is; its figures are those of the part."""
    parts: tuple[BenchPart, ...] = ()
    """The shards that it was merged from, in order; empty: it was measured as a whole."""

    @property
    def filled(self) -> tuple[dict[str, tuple[str, ...]], ...]:
        """The prompts that chunks are filled with, of each part by itself."""
        return tuple(part.prompts for part in self.parts) or (self.prompts,)


class Memory(Struct, frozen=True, kw_only=True):
    """Bytes that an arm holds; None: the engine does not tell."""

    target: int | None = None
    """Weights of the target."""
    draft: int | None = None
    """Weights of the draft; 0 without one."""
    kv: int | None = None
    """Caches of both; None where they grow with the text and count as `working`."""
    working: int | None = None
    """How far the peak rose above the resting level while one chunk was answered."""
    measured_by: Literal["device allocator", "peak RSS", "peak RSS of its process"] | None = None
    process: int | None = None
    """Memory of an engine in a process of its own: the peak of all that this process and what it
    has started hold resident, libraries included."""

    @property
    def peak(self) -> int | None:
        """All of it; None where the weights are not known."""
        if self.process is not None:
            return self.process
        if self.target is None:
            return None
        return self.target + (self.draft or 0) + (self.kv or 0) + (self.working or 0)


class Probed(Struct, frozen=True, kw_only=True, tag="probe", omit_defaults=True):
    """What was found out about an arm at a point, apart from the timed requests."""

    point: int
    arm: str
    capabilities: Capabilities
    clock: str
    """What its seconds are measured by."""
    memory: Memory = Memory()
    draft_token_seconds: float | None = None
    """Seconds of one drafted token, proposing alone; None: it cannot be asked for alone."""
    step_bytes: int | None = None
    """Weight and cache bytes that one step of the target reads."""
    weight_bytes: int | None = None
    """How many are weights: blocks, norms, head. A step reads single rows of the embedding."""
    position_bytes: int | None = None
    """Keys and values of one position of one row of the target's cache."""
    alone: bool = False
    """Whether arms were measured one after the other, with no other one open."""


class Bandwidth(Struct, frozen=True, kw_only=True, tag="bandwidth"):
    """What the device's memory can do: a copy between two large buffers, read plus written."""

    bytes_per_second: float
    """Median of several copies."""
    buffer_bytes: int


class Measured(Struct, frozen=True, kw_only=True, tag="measured", omit_defaults=True):
    """One arm's answer to one prompt at one point, timed."""

    point: int
    arm: str
    workload: str
    repeat: int
    chunk: int
    """Prompts of one chunk are asked together, and decoded as rows become free for them; at batch
    size 1 it is one prompt."""
    seconds: float
    """Seconds of the whole chunk, prompt included; of a run under load, its waits included."""
    generation: Generation
    """Without scores and fingerprints."""
    load: Load | None = None
    """How it fared, where requests come at times of their own."""


class OverheadRecord(Struct, frozen=True, kw_only=True, tag="spent"):
    """What an arm has cost at a point beside its steps, in its own words."""

    point: int
    arm: str
    notes: tuple[str, ...]


class MeasuringSession(Struct, frozen=True, kw_only=True, tag="session"):
    """One sitting of measuring, from the first timed request to the last."""

    wall_seconds: float
    engine_seconds: float
    """How many of these were spent inside engines. The rest is what measuring costs."""


class AnswerKey(NamedTuple):
    """What one answer is an answer to."""

    point: int
    arm: str
    key: str
    repeat: int


class Bench(Struct, frozen=True, kw_only=True):
    """A measurement as read back."""

    header: BenchHeader
    unsealed: bool = False
    """Whether its lines have no seals: written before there were any, or taken off."""
    measured: tuple[Measured, ...] = ()
    probed: tuple[Probed, ...] = ()
    bandwidth: Bandwidth | None = None
    sessions: tuple[MeasuringSession, ...] = ()
    spent: tuple[OverheadRecord, ...] = ()

    @property
    def arms(self) -> dict[str, BenchArm]:
        """By name, in the order of measuring."""
        return {arm.name: arm for arm in self.header.settings.arms}

    @property
    def asked(self) -> set[AnswerKey]:
        """What was answered."""
        return {
            AnswerKey(each.point, each.arm, each.generation.key, each.repeat)
            for each in self.measured
        }

    @property
    def expected(self) -> set[AnswerKey]:
        """What a finished measurement has answers to."""
        settings = self.header.settings
        return {
            AnswerKey(at, arm.name, key, repeat)
            for at, point in enumerate(settings.points)
            for prompts in self.header.filled
            for keys in prompts.values()
            for chunk in in_chunks(keys, size=point.together)
            for key in keys[chunk]
            for arm in settings.arms
            for repeat in range(settings.repeats)
        }

    def probe(self, *, point: int, arm: str) -> Probed | None:
        """The latest probe of an arm at a point."""
        found = [each for each in self.probed if (each.point, each.arm) == (point, arm)]
        return found[-1] if found else None

    def spent_by(self, *, point: int, arm: str) -> tuple[str, ...]:
        """What an arm has cost beside its steps at a point, in the latest sitting."""
        found = [each.notes for each in self.spent if (each.point, each.arm) == (point, arm)]
        return found[-1] if found else ()


BenchRecord = BenchHeader | Probed | Bandwidth | Measured | OverheadRecord | MeasuringSession
