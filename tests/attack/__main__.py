"""Run the attack: ``python -m tests.attack``, and with ``--out`` write its figures down.

Every try follows from the seed and its number, so a failure can be repeated. Exit code 1 if there
is one.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from tests.attack import answers, engines, flips, fuzz, kills
from tests.attack.tally import Tally

Attack = Callable[..., Iterator[Tally]]
KINDS: dict[str, tuple[Attack, int]] = {
    "fuzz": (fuzz.attack, 52_000),
    "kills": (kills.attack, 200),
    "engines": (engines.attack, 195),
    "answers": (answers.attack, 200),
    "flips": (flips.attack, 1_000),
}
"""By name: the attack, and how many tries its long form has."""
WORDS = {
    "fuzz": "fuzzed inputs to every reader: read or refused in a sentence, within 20 seconds and "
    "4 GiB",
    "kills": "killed runs, and two undisturbed: no pass before their end, and the same command "
    "goes on to the undisturbed run's exit code and evidence",
    "engines": "hostile engines, not lossless: never exit code 0, no hang",
    "answers": "hostile answers: one failed answer each, or the end of a run that did not pass",
    "flips": "single bits flipped in the evidence of a passing run: refused, or unfinished where "
    "the last line lost its end",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kinds that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the long form's tries")
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--out", type=Path, help="Markdown with the figures")
    parser.add_argument("--kept", type=Path, help="JSON with them; kinds in it are not run again")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    found = kept(given.kept)
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        for kind in sorted(set(given.only) - {tally.kind for tally in found}, key=[*KINDS].index):
            attack, tries = KINDS[kind]
            place = Path(folder) / kind
            place.mkdir()
            for tally in attack(max(1, round(tries * given.scale)), seed=given.seed, folder=place):
                if not tally.tries:
                    continue
                found.append(tally)
                told = f"{kind}: {tally.what}: {tally.tries} tries, {len(tally.failures)} failures"
                say(f"{told}, {tally.seconds:.0f} s")
                for failure in tally.failures[:5]:
                    say(f"  {failure}")
            if given.kept:
                given.kept.write_text(json.dumps([asdict(tally) for tally in found]))
    if given.out:
        given.out.write_text(page(found, seed=given.seed), encoding="utf-8")
        say(f"written: {given.out}")
    return int(any(tally.failures for tally in found))


def kept(path: Path | None) -> list[Tally]:
    """What an earlier, interrupted run has found."""
    if path is None or not path.is_file():
        return []
    return [Tally(**each) for each in json.loads(path.read_text())]


def say(text: str) -> None:
    """A line to stdout, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def page(found: Sequence[Tally], *, seed: int) -> str:
    """The figures as Markdown."""
    minutes = sum(tally.seconds for tally in found) / 60
    kinds = list(dict.fromkeys(tally.kind for tally in found))
    lines = [
        "# Attack",
        "",
        f"Written by `python -m tests.attack` on Python {platform.python_version()}, seed {seed}, "
        f"in {minutes:.0f} minutes, all kinds added up. A failure is a traceback, a hang, a wrong "
        f"exit code, lost or changed evidence.",
        "",
        "| kind | tries | failures | seconds |",
        "|---|---:|---:|---:|",
    ]
    for kind in kinds:
        of = [tally for tally in found if tally.kind == kind]
        failures = sum(len(tally.failures) for tally in of)
        lines.append(
            f"| {WORDS[kind]} | {sum(tally.tries for tally in of):,} | {failures} "
            f"| {sum(tally.seconds for tally in of):,.0f} |"
        )
    lines += [
        "",
        "| kind | what | tries | failures | what came of them |",
        "|---|---|---:|---:|---|",
    ]
    for tally in found:
        came = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.outcomes.items()))
        lines.append(
            f"| {tally.kind} | {tally.what} | {tally.tries:,} | {len(tally.failures)} | {came} |"
        )
    if told := [f"- {tally.what}: {failure}" for tally in found for failure in tally.failures]:
        lines += ["", "## Failures", "", *(line.replace("\n", " ") for line in told)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
