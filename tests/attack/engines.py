"""Hostile engines: whatever one does to its process, exit code 0 is not what comes of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from equivcheck.core.settings import EngineSetup
from equivcheck.engines.device import load_setup
from tests.attack.installed import install_here, make_project
from tests.attack.leaver import HANGS, PLACES, WAYS
from tests.attack.processes import forked
from tests.attack.tally import Tally, timed

RUN = ["run", "suite.jsonl", "--out", "out"]
ENDS = (1, 2, 3, 130)
"""Not equivalent, could not run, inconclusive, interrupted."""
HANGS_FOR = 2.0
"""Seconds until a hanging engine is ended."""


def attack(tries: int, *, seed: int, folder: Path) -> Iterator[Tally]:
    """As many engines as asked for, or all: each way at each place."""
    install_here(folder / "engines")
    load_setup(EngineSetup(threads=1))
    every = [(way, place) for way in WAYS for place in PLACES]
    chosen = random.Random(f"{seed} engines").sample(every, min(tries, len(every)))
    for place in PLACES:
        tally = Tally("engines", f"at {place}")
        with timed(tally):
            for way in (way for way, where in chosen if where == place):
                one_engine(way, place, folder / f"{way}-{place}", tally)
        yield tally


def one_engine(way: str, place: str, folder: Path, tally: Tally) -> None:
    """A run with one of them for a candidate."""
    candidate = f"leaver:way={way},place={place}"
    seconds = HANGS_FOR if way in HANGS else None
    make_project(folder, cases=("c0", "c1", "c2"), candidate=candidate, seconds=seconds)
    done = forked(RUN, folder)
    if done.code not in ENDS:
        tally.fail(f"{way} at {place}: exit {done.code}: {done.said[-300:]}")
    else:
        tally.add(f"exit {done.code}")
        shutil.rmtree(folder)
