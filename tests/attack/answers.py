"""Hostile answers in runs: each is a failure of its own, and no run with one passes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from equivcheck.core.settings import EngineSetup
from equivcheck.engines.device import load_setup
from equivcheck.records.records import CANDIDATE
from equivcheck.records.records_file import read_evidence
from tests.attack.installed import install_here, make_project
from tests.attack.processes import forked
from tests.attack.tally import Tally, timed
from tests.attack.wild import unasked, wild

RUN = ["run", "suite.jsonl", "--out", "out"]
ALONE = "alone"
"""A case that is answered as it should be."""
LINES = 40
"""Of a message: what an engine gave cannot fill the screen."""


def attack(tries: int, *, seed: int, folder: Path) -> Iterator[Tally]:
    """As many ways as asked for, or all: those of single answers in one run, the others alone."""
    install_here(folder / "engines")
    load_setup(EngineSetup(threads=1))
    chance = random.Random(f"{seed} answers")
    names = [name for name, _ in wild()]
    chosen = chance.sample(names, min(tries, len(names)))
    yield in_one_run(chosen, folder / "together")
    others = [name for name, _ in unasked()]
    tally = Tally("answers", "no answer to anything asked")
    with timed(tally):
        for name in others[:tries]:
            unasked_run(name, folder / name, tally)
    yield tally


def in_one_run(names: list[str], folder: Path) -> Tally:
    """Every way as a case of one run."""
    make_project(folder, cases=[*names, ALONE], candidate="attacker:on=true")
    tally = Tally("answers", "one field of an answer")
    with timed(tally):
        done = forked(RUN, folder)
        if done.code not in (1, 3) or "Traceback" in done.said:
            tally.fail(f"exit {done.code}: {done.said[-500:]}")
            return tally
        evidence = read_evidence(folder / "out")
        failed = {each.key for each in evidence.failures if each.arm == CANDIDATE}
        answered = evidence.captured[CANDIDATE]
        for name in names:
            if f"code/{name}" not in failed:
                tally.fail(f"{name}: taken for an answer")
            else:
                tally.add("one failed answer")
        if list(answered) != [f"code/{ALONE}"]:
            tally.fail(f"{ALONE}: answered are {list(answered)[:5]}")
    return tally


def unasked_run(name: str, folder: Path, tally: Tally) -> None:
    """A run whose first answer is none."""
    make_project(folder, cases=[name, ALONE], candidate="attacker:on=true")
    done = forked(RUN, folder)
    if done.code not in (1, 2, 3) or "Traceback" in done.said or done.said.count("\n") > LINES:
        tally.fail(f"{name}: exit {done.code}: {done.said[-500:]}")
    else:
        tally.add(f"exit {done.code}")
