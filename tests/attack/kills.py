"""Runs that are killed at random times and at each kind of write, judged, and resumed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from equivcheck.core import atomic_write
from equivcheck.core.errors import EquivcheckError
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.device import load_setup
from equivcheck.records import journal
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records_file import last_verdict, read_evidence
from tests.attack.installed import install_here, make_project
from tests.attack.processes import forked, wait_for
from tests.attack.tally import Tally, timed
from tests.engines.drawing import drawn_suite, make_profiles_small
from tests.small_models import save_pair

RUN = ["run", "suite.jsonl", "--out", "out"]
MOMENTS = ("before", "inside", "behind")


@dataclass(frozen=True)
class Plan:
    """A run that is killed."""

    name: str
    make: Callable[[Path], object]
    """Puts settings and suite into a folder."""
    prepare: Callable[[], object]
    """Called in each of its processes."""
    same_evidence: bool
    """Whether the evidence is the same after any kill; how often draws are scored is not."""
    share: float
    """Of all kills."""


def plans(folder: Path) -> list[Plan]:
    """A run whose engine is quick, and one of real models that draws and scores."""
    install_here(folder / "engines")
    pair = save_pair(folder / "pair")
    make_profiles_small()
    load_setup(EngineSetup(threads=1))
    load_setup(EngineSetup(threads=1, pair=pair, context=256, device="cpu"))
    return [
        Plan("a run", make_quick, lambda: None, same_evidence=True, share=0.9),
        Plan(
            "a run with draws",
            partial(make_drawing, pair=pair),
            make_profiles_small,
            same_evidence=False,
            share=0.1,
        ),
    ]


def make_quick(folder: Path) -> None:
    make_project(folder, cases=[f"c{number}" for number in range(6)], candidate="attacker")


def make_drawing(folder: Path, *, pair: str) -> None:
    folder.mkdir()
    (folder / "equivcheck.toml").write_text(
        f'candidate = "native:gamma=3"\ncontrol = "none"\nsampled_batch = 8\n'
        f'[setup]\npair = "{pair}"\ndevice = "cpu"\nthreads = 1\nbatch_size = 4\ncontext = 256\n'
    )
    suite = drawn_suite()
    head = {"equivcheck": 1, "workload": suite.workload, "law": True}
    lines = [msgspec.json.encode(each) for each in (head, *suite.cases)]
    (folder / "suite.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def attack(tries: int, *, seed: int, folder: Path) -> Iterator[Tally]:
    """Two of five at random times, the others before, inside and behind a write."""
    for plan in plans(folder):
        if not round(tries * plan.share):
            continue
        place = folder / plan.name.replace(" ", "-")
        place.mkdir()
        yield from attack_one(plan, round(tries * plan.share), seed=seed, folder=place)


def attack_one(plan: Plan, tries: int, *, seed: int, folder: Path) -> Iterator[Tally]:
    """All kills of one plan."""
    whole = folder / "whole"
    plan.make(whole)
    started = time.monotonic()
    code = forked(RUN, whole, prepare=plan.prepare).code
    seconds = time.monotonic() - started
    writes = count_writes(plan, folder / "counted")
    tally = Tally("kills", f"{plan.name}, undisturbed")
    wanted = (code, digest_of(whole, plan))
    if code == 0:
        tally.add("passed")
    else:
        tally.fail(f"exit {code}: {(whole / 'log').read_text()[-300:]}")
    yield tally
    chance, at_random = random.Random(f"{seed} {plan.name}"), round(0.4 * tries)
    tally = Tally("kills", f"{plan.name}, at random times")
    with timed(tally):
        for at in range(at_random):
            after = chance.uniform(0, seconds)
            one_kill(tally, plan, folder / f"r{at}", wanted, prepare=plan.prepare, after=after)
    yield tally
    tally = Tally("kills", f"{plan.name}, at a write")
    with timed(tally):
        for at in range(tries - at_random):
            # Evenly over the run, so that each kind of write has its share.
            number = at * writes // (tries - at_random)
            prepare = kills_at(plan, number, MOMENTS[at % len(MOMENTS)])
            one_kill(tally, plan, folder / f"w{at}", wanted, prepare=prepare)
    yield tally


def digest_of(folder: Path, plan: Plan) -> str:
    evidence = read_evidence(folder / "out")
    return evidence_digest(evidence) if plan.same_evidence else ""


def one_kill(
    tally: Tally,
    plan: Plan,
    folder: Path,
    wanted: tuple[int | None, str],
    *,
    prepare: Callable[[], object],
    after: float | None = None,
) -> None:
    """Kill one run: no pass before its end, and the undisturbed one once it was resumed."""
    plan.make(folder)
    forked(RUN, folder, prepare=prepare, kill_after=after)
    out = folder / "out"
    wait_for(out)
    if problem := judged_wrongly(out, folder):
        tally.fail(f"{folder.name}: {problem}")
        return
    again = forked(RUN, folder, prepare=plan.prepare)
    try:
        found = (again.code, digest_of(folder, plan))
    except EquivcheckError as error:
        tally.fail(f"{folder.name}: {error}")
        return
    if found != wanted:
        tally.fail(f"{folder.name}: went on to {found}, not {wanted}: {again.said[-300:]}")
        return
    kind = folder / "kind"
    tally.add(kind.read_text() if kind.exists() else "killed" if after is not None else "at none")
    shutil.rmtree(folder)


def judged_wrongly(out: Path, folder: Path) -> str | None:
    """What is wrong with what `judge` makes of a run that was killed; None: nothing."""
    done = forked(["judge", str(out)], folder)
    finished = last_verdict(out / "records.jsonl") is not None
    if "Traceback" in done.said:
        return f"judge broke down: {done.said[-300:]}"
    if not finished and done.code not in (2, 3):
        return f"judge gave {done.code} for an unfinished run"
    if (out / "records.jsonl").exists() and done.code == 2:
        return f"judge refused it: {done.said[-300:]}"
    return None


def count_writes(plan: Plan, folder: Path) -> int:
    """How many lines and files a whole run writes."""
    plan.make(folder)
    counted = folder / "counted"

    def prepare() -> None:
        plan.prepare()
        counting(lambda number: counted.write_text(str(number)))

    forked(RUN, folder, prepare=prepare)
    return int(counted.read_text()) + 1


def kills_at(plan: Plan, number: int, moment: str) -> Callable[[], None]:
    """Has the process killed at the write of that number, counted from 0."""

    def prepare() -> None:
        plan.prepare()
        counting(lambda now: None, number=number, moment=moment)

    return prepare


def counting(told: Callable[[int], object], *, number: int = -1, moment: str = "") -> None:
    """Count writes of lines and of whole files, and kill this process at one."""
    line, replace = journal.write_line, atomic_write.replace
    writes = -1

    def at(kind: str, write: Callable[[], object], partly: Callable[[], object]) -> None:
        nonlocal writes
        writes += 1
        told(writes)
        here = moment if writes == number else ""
        if here:
            Path("kind").write_text(f"{here} {kind}")
        if here == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here == "inside":
            partly()
            os.kill(os.getpid(), signal.SIGKILL)
        write()
        if here == "behind":
            os.kill(os.getpid(), signal.SIGKILL)

    def write_line(file: IO[bytes], text: bytes) -> None:
        kind = msgspec.json.decode(text)["type"]
        at(kind, lambda: line(file, text), lambda: file.write(text[: len(text) // 2]))

    def write_file(path: Path, content: str | bytes, **options: Any) -> None:
        unfinished = path.with_name(f".{path.name}.part")
        whole = partial(replace, path, content, **options)
        at(path.name, whole, lambda: unfinished.write_text("half"))

    journal.write_line = write_line
    for name, module in list(sys.modules.items()):
        if name.startswith("equivcheck.") and vars(module).get("replace") is replace:
            vars(module)["replace"] = write_file
