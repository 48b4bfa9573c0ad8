"""Single bits flipped in the evidence of a run that passed, and in a measurement: all are seen."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from equivcheck.cli.main import run as equivcheck
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.run import run
from equivcheck.records.records_file import RECORDS_NAME
from equivcheck.records.score_table_file import SCORES_NAME
from tests.attack.tally import Tally, timed

PASSED, REFUSED, UNFINISHED = 0, 2, 3


def attack(tries: int, *, seed: int, folder: Path) -> Iterator[Tally]:
    """Seven of ten bits in the records, the others in the scores of its draws."""
    make_passing(folder / "run")
    judge = ["judge", str(folder / "run")]
    for name, share in ((RECORDS_NAME, 0.7), (SCORES_NAME, 0.3)):
        yield flipped(folder / "run" / name, round(tries * share), judge=judge, seed=seed)


def make_passing(folder: Path) -> None:
    """A small run with draws, of a random pair."""
    from tests.engines.drawing import drawn_suite, make_profiles_small
    from tests.small_models import save_pair

    make_profiles_small()
    pair = save_pair(folder.parent / "pair")
    setup = EngineSetup(pair=pair, device="cpu", threads=1, batch_size=4, context=256)
    settings = Settings(setup=setup, candidate="native:gamma=3", control=None, sampled_batch=8)
    run(settings, [drawn_suite()], folder)


def flipped(path: Path, tries: int, *, judge: list[str], seed: int) -> Tally:
    """Bits of one file, each alone."""
    tally = Tally("flips", path.name)
    chance, whole = random.Random(f"{seed} {path.name}"), path.read_bytes()
    assert quietly(judge) == PASSED
    with timed(tally):
        for _ in range(tries):
            at, bit = chance.randrange(len(whole)), chance.randrange(8)
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            code = quietly(judge)
            if code == REFUSED:
                tally.add("refused")
            elif code == UNFINISHED and at == len(whole) - 1:
                tally.add("unfinished: its last line lost its end")
            else:
                tally.fail(f"bit {bit} of byte {at}: exit {code}")
    path.write_bytes(whole)
    assert quietly(judge) == PASSED
    return tally


def quietly(arguments: list[str]) -> int:
    """The exit code alone."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return equivcheck(arguments)
