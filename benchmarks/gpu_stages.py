"""The stages of `benchmarks.gpu`: what is run, in which order, for how long at most. Pure.

The most telling come first. Stages of one group run in one process, one after the other, so that
they share what takes long: importing, and building a pair of many billions of parameters. Two
processes that time nothing run beside each other: one waits for compilers, the other for the
device. More do not help, since a device that changes between processes does little else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.stage_records import FRESH
from equivcheck.pairs.shapes import SHAPES

EAGER = "transformers:mode=plain,scores=false"
ASSISTED = "transformers:mode=assisted,scores=false"
COMPILED = f"{EAGER},compiled=true"
WITHOUT_OWN = "native:gamma=0,kernels=library"
CLOSE_DRAFTS = ("native:gamma=6", "native:gamma=7,drafter=mixed")
"""Of a draft that is often right, more pay; the first is the one that is reported by workload."""
DRAFTS = (
    "native:gamma=4",
    "native:gamma=7,adaptive=true",
    "native:gamma=7,drafter=lookup",
    "native:gamma=7,drafter=mixed",
)
"""Ways to draft that are held against each other."""
HELD_TWICE = 1.65
"""Bytes of a pair over its target's weights: gates, queries, keys and values are held twice, by the
library's model and fused; caches, the draft and working memory come on top."""
GIB = 2**30
GAMMAS = range(1, 8)
"""Of which each is a stage of its own, to go on behind it."""
LOADING = 30.0
"""Seconds to build a large pair and to measure something with it, at least."""
DEAL = 3 * len(GAMMAS)
"""Requests of which each gamma gets some at each of three temperatures."""


class Stage(NamedTuple):
    """One measurement."""

    name: str
    command: tuple[str, ...]
    """Module and arguments, as after ``python -m``."""
    minutes: float
    """After which it is given up."""
    group: str = ""
    """Its stages follow each other in one process; empty: a process of its own."""
    beside: bool = False
    """Times nothing, so that it may run beside others of this kind."""
    least: float = 10.0
    """Seconds without which it is not worth beginning."""


class Sizes(NamedTuple):
    """How much is measured."""

    pair: str
    close_draft: str
    """The pair with a draft that is more often right: the target's own weights, rounded."""
    small_draft: str
    positions: int
    """Of the bundled pair, in the run's dtype. Other identity stages take shares."""
    rows: int
    """Of a step where logits are compared."""
    compared_tokens: int
    """Of a request whose logits are compared."""
    tokens: int
    prompts: int
    batches: str
    gammas: str
    ladder: tuple[str, ...]
    suites: tuple[str, ...]
    patience: float = 1.0
    """Times each stage's limit."""


ALL_SUITES = ("code", "json_sql", "chat", "multilingual", "creative")
FULL = Sizes(
    pair="tiny@8b+0.15b",
    close_draft="tiny@8b+tiny:3bit@0.15b",
    small_draft="tiny@8b+1b",
    positions=1_000_000,
    rows=16,
    compared_tokens=384,
    tokens=96,
    prompts=4,
    batches="2,8,32,64",
    gammas="1,2,4,6,7",
    ladder=("tiny@1b+0.15b", "tiny@3b+0.15b", "tiny@14b+0.15b", "tiny@32b+0.15b"),
    suites=ALL_SUITES,
)
REHEARSAL = Sizes(
    pair="tiny@15m",
    close_draft="tiny@15m+tiny:3bit",
    small_draft="tiny",
    positions=168,
    rows=4,
    compared_tokens=8,
    tokens=8,
    prompts=1,
    batches="1,2",
    gammas="1,4",
    ladder=("tiny",),
    suites=("code", "chat"),
    patience=4.0,
)


class Place(NamedTuple):
    """Where it is measured, and where records go."""

    folder: Path
    device: str
    dtype: str
    memory: int | None = None
    """Bytes of the device; None: not known, and no stage is left out for it."""


def stages(sizes: Sizes, place: Place) -> Iterator[Stage]:
    """Everything there is to do, in order."""
    for stage in in_order(sizes, place):
        yield stage._replace(minutes=stage.minutes * sizes.patience)


def in_order(sizes: Sizes, place: Place) -> Iterator[Stage]:
    """The stages, with the limits that they have at full size."""
    on = ("--device", place.device, "--dtype", place.dtype)
    for stage in of_bits(sizes, place):
        yield stage._replace(beside=True)
    yield from of_the_pair(sizes, place, on=on)
    for pair in sizes.ladder:
        if fits(pair, place.memory):
            # The largest would not fit beside those before it.
            group = "" if "@32b" in pair else "ladder"
            name = f"ladder-{slug(pair)}"
            yield bench(name, sizes, place, on=on, pair=pair, prompts=1, group=group)
    # Compiling needs a C++ compiler, and takes long where its cache is cold.
    yield against("compiled", sizes, place, COMPILED, on=on, minutes=4)


def of_bits(sizes: Sizes, place: Place) -> Iterator[Stage]:
    """What is right or wrong, whatever it takes."""
    # The worker has imported the package, so that pytest cannot rewrite it; tests of GPUs need not.
    rewriting = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    yield Stage("tests", ("pytest", "-q", *rewriting, "tests/gpu"), 3)
    for gamma in GAMMAS:
        one = ("--gamma", str(gamma))
        yield identity(f"identity-gamma-{gamma}", sizes, place, share=1.0, more=one)
    alone, half = sizes._replace(rows=1), place._replace(dtype="float16")
    several = ("--contract", "batch-invariant", "--other-batch-size", "1")
    yield identity("identity-alone", alone, place, share=0.02)
    yield identity("identity-float16", sizes, half, share=0.05)
    # Drafts that are often right bring more rows from the last slots of a window.
    often = ("--pair", "tiny+tiny:3bit")
    yield identity("identity-close", sizes, place, share=0.05, more=often)
    yield identity("identity-invariant", sizes, place, share=0.03, more=several)


def of_the_pair(sizes: Sizes, place: Place, *, on: tuple[str, ...]) -> Iterator[Stage]:
    """What is measured of the large pair, in one process: building it takes a while."""

    def timed(name: str, *more: str, **options: Any) -> Stage:
        return bench(name, sizes, place, on=on, group="pair", more=more, **options)

    pair, folder = sizes.pair, place.folder
    copies = ("benchmarks.bandwidth", "--device", place.device, "--out")
    yield Stage("bandwidth", (*copies, str(folder / "bandwidth.jsonl")), 0.5, "pair")
    if place.device == "cuda":
        products = ("benchmarks.products", "--out", str(folder / "products.jsonl"))
        yield Stage("products", products, 1, "pair")
    ahead = ("benchmarks.ahead", "--pair", pair, *on, "--out", str(folder / "ahead.jsonl"))
    yield Stage("ahead", ahead, 1.5, "pair", least=LOADING)
    yield timed("speed", minutes=2.5)
    yield timed("close", *drafting(CLOSE_DRAFTS), pair=sizes.close_draft, minutes=1.5)
    profile = ("benchmarks.step_profile", "--pair", pair, *on, "--out")
    yield Stage("profile", (*profile, str(folder / "profile.md")), 1, "pair")
    yield timed("drafts", "--no-stock", *drafting(DRAFTS), prompts=2, minutes=1.5)
    # A suite of each class fills a large batch but once, so that all five make the sample.
    short = sizes._replace(tokens=min(sizes.tokens, 24))
    sweep = ("--sweep", f"batch={sizes.batches}", "--refills", "1")
    yield bench("batch", short, place, on=on, minutes=3, group="pair", more=sweep)
    yield timed("gamma", "--no-stock", "--sweep", f"gamma={sizes.gammas}", prompts=1)
    yield timed("worst", "--no-stock", "--worst-case", prompts=1)
    library = (EAGER, ASSISTED, WITHOUT_OWN)
    yield against("library", sizes, place, *library, on=on, group="pair")
    yield timed("draft-1b", pair=sizes.small_draft, prompts=1)
    large = ("--pair", pair, "--gamma", "4")
    yield identity("identity-large", sizes, place, share=0.05, group="pair", more=large)
    for contract in ("fixed-shape", "batch-invariant"):
        spec = f"native:gamma=4,contract={contract}"
        doctor = ("equivcheck", "doctor", *on, "--pair", pair, "--candidate", spec)
        doctor += ("--batch-size", str(sizes.rows))
        yield Stage(f"doctor-{contract}", doctor, 1, "pair", least=LOADING)


def drafting(specs: Sequence[str]) -> Iterator[str]:
    """The options that have `bench` compare ways to draft."""
    return (word for spec in specs for word in ("--draft", spec))


def against(
    name: str,
    sizes: Sizes,
    place: Place,
    *specs: str,
    on: tuple[str, ...],
    minutes: float = 1.5,
    group: str = "",
) -> Stage:
    """Hold the pair to engines whose own drafting takes seconds for an answer."""
    others = (word for spec in specs for word in ("--against", spec))
    short = sizes._replace(tokens=min(sizes.tokens, 24), prompts=1)
    more = ("--no-stock", *others)
    return bench(name, short, place, on=on, group=group, minutes=minutes, more=more)


def identity(
    name: str,
    sizes: Sizes,
    place: Place,
    *,
    share: float,
    minutes: float = 2.5,
    group: str = "bits",
    more: tuple[str, ...] = (),
) -> Stage:
    """Compare logits bit for bit over a share of the positions.

    Args:
        name: Of the stage.
        sizes: Of these, positions, rows and tokens.
        place: Where, and in which dtype.
        share: Of the positions.
        minutes: At most.
        group: As in `Stage`.
        more: Another pair or contract.
    """
    positions = max(math.ceil(share * sizes.positions), DEAL * sizes.compared_tokens)
    command = (
        *("benchmarks.identity", "--dtype", place.dtype, "--device", place.device),
        *("--batch-size", str(sizes.rows), "--positions", str(positions)),
        *("--tokens", str(sizes.compared_tokens), *more),
        *("--out", str(place.folder / "identity.jsonl")),
    )
    return Stage(name, command, minutes, group, least=LOADING if group == "pair" else 10.0)


def bench(
    name: str,
    sizes: Sizes,
    place: Place,
    *,
    on: tuple[str, ...],
    pair: str | None = None,
    prompts: int | None = None,
    minutes: float = 1,
    group: str = "",
    more: tuple[str, ...] = (),
) -> Stage:
    """Measure a pair with ``equivcheck bench``; with fewer prompts, answers are shorter too."""
    tokens = sizes.tokens if prompts is None else min(sizes.tokens, 64)
    command = (
        *("equivcheck", "bench", *(f"suites/{suite}.jsonl" for suite in sizes.suites)),
        *(*on, "--pair", pair or sizes.pair),
        *("--prompts", str(min(prompts or sizes.prompts, sizes.prompts))),
        *("--tokens", str(tokens), *more, "--out", str(place.folder / f"bench-{name}.jsonl")),
    )
    return Stage(name, command, minutes, group, least=LOADING)


def anew(stage: Stage) -> Stage:
    """The stage, starting over where an earlier one was interrupted."""
    measures = stage.command[:2] == ("equivcheck", "bench")
    return stage._replace(command=(*stage.command, FRESH)) if measures else stage


def fits(pair: str, memory: int | None) -> bool:
    """Whether a device has room for a widened pair in 16 bits; small and unknown ones count as yes.

    Args:
        pair: ``tiny@8b+0.15b``, say.
        memory: Bytes.
    """
    shape = SHAPES.get(pair.partition("@")[2].partition("+")[0])
    if shape is None or memory is None:
        return True
    return 2 * HELD_TWICE * shape.parameters() < memory - 4 * GIB


def slug(name: str) -> str:
    """A name that can be a folder's."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
