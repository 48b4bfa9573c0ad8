"""Fuzzed inputs to every reader: each is read or refused in a sentence, and soon."""

from __future__ import annotations

import os
import pickle
import random
import resource
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from equivcheck.core.errors import EquivcheckError
from tests.attack.mutate import damaged
from tests.attack.readers import Reader, readers
from tests.attack.tally import Tally, timed

SECONDS = 20
"""That one input may take, on any machine."""
BYTES = 4 * 2**30
"""Of address space beyond what is in use, that one input may take."""


class HungError(BaseException):
    """An input took longer than it may."""


def attack(tries: int, *, seed: int, folder: Path) -> Iterator[Tally]:
    """So many inputs, shared out among the readers by what an input costs."""
    found = readers(folder / "corpus")
    whole = sum(reader.share for reader in found)
    for reader in found:
        yield forked(reader, max(1, round(tries * reader.share / whole)), seed=seed, folder=folder)


def forked(reader: Reader, tries: int, *, seed: int, folder: Path) -> Tally:
    """One reader's inputs in a process of their own, which may run out of memory or be ended."""
    place = folder / reader.name
    place.mkdir()
    kept, now = place / "tally", place / "now"
    child = os.fork()
    if child == 0:
        try:
            limit_memory()
            tally = Tally("fuzz", reader.name)
            for sample in reader.samples:
                reader.read(place / reader.file, sample, sample)
            with timed(tally):
                for at in range(tries):
                    now.write_text(str(at))
                    one_input(reader, at, seed=seed, place=place, tally=tally)
            kept.write_bytes(pickle.dumps(tally))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    if kept.is_file():
        tally = pickle.loads(kept.read_bytes())
        assert isinstance(tally, Tally)
        return tally
    tally = Tally("fuzz", reader.name)
    last = now.read_text() if now.is_file() else "none"
    tally.fail(f"the process ended with status {status}, at input {last}")
    return tally


def one_input(reader: Reader, at: int, *, seed: int, place: Path, tally: Tally) -> None:
    """Damage a sample, hand it to the reader, and see what comes of it."""
    chance = random.Random(f"{seed} {reader.name} {at}")
    sample = chance.choice(reader.samples)
    content = damaged(chance, sample, ways=reader.ways)
    path = place / reader.file
    try:
        with within(SECONDS):
            tally.add(reader.read(path, sample, content))
    except EquivcheckError as error:
        said = str(error)
        if "\n" in said.strip() and not reader.many_lines:
            tally.fail(f"input {at}: a message of several lines: {said[:200]!r}")
        else:
            tally.add("refused")
    except (Exception, HungError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}"[:200]
        tally.fail(f"input {at}: {told} in {Path(where.filename).name}:{where.lineno}")
        (place / f"failed-{at}").write_bytes(content)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise HungError in what takes longer."""

    def hung(number: int, frame: FrameType | None) -> None:
        raise HungError(f"took over {seconds:g} s")

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_memory() -> None:
    """An input that takes all memory fails here and costs the machine nothing."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
