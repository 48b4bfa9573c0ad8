"""Steps with kernels started ahead and by tiles of other shapes, against steps without, in turn.

    python -m benchmarks.ahead --pair tiny --out FILE

Each arm is a way to launch the project's own kernels, set before its engines record their steps.
All arms answer the same requests in each round, plainly and speculatively, and have to leave the
same bits. Where kernels cannot be started ahead, the arms do the same and so do not differ.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks.stage_records import code_of
from benchmarks.step_profile import GAMMAS, PROMPT, parsed
from equivcheck.core.engine import Engine
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine


class Arm(NamedTuple):
    """A way to launch kernels."""

    name: str
    ahead: bool
    fetched: int
    """Tiles of a weight that are fetched while a kernel waits."""
    by_size: bool = True
    """Tiles of few rows follow the sizes of a weight."""


ARMS = (
    Arm("one after the other, tiles alike", ahead=False, fetched=0, by_size=False),
    Arm("one after the other", ahead=False, fetched=0),
    Arm("ahead", ahead=True, fetched=0),
    Arm("ahead, 2 tiles fetched", ahead=True, fetched=2),
    Arm("ahead, 8 tiles fetched", ahead=True, fetched=8),
)


@contextlib.contextmanager
def launching(arm: Arm) -> Iterator[None]:
    """Launch kernels as an arm does."""
    from equivcheck.decoding.backends import fused, products
    from equivcheck.decoding.kernels import starting

    def tiles(*, columns: int, inner: int) -> products.Tiles:
        return by_size(columns=columns, inner=inner) if arm.by_size else products.FEWEST

    can, by_size = starting.starts_ahead, products.tiles_for_few
    with (
        patch.object(starting, "starts_ahead", lambda device: arm.ahead and can(device)),
        patch.object(products, "FETCHED_TILES", arm.fetched),
        patch.object(fused, "tiles_for_few", tiles),
    ):
        yield


def requests_of(*, rows: int, tokens: int) -> list[Request]:
    """Requests of the same length, to fill the rows twice."""
    return [
        Request(
            key=f"ahead/{seed}",
            prompt_ids=tuple(token + seed for token in PROMPT),
            max_new_tokens=tokens,
            ignore_eos=True,
            seed=seed,
        )
        for seed in range(2 * rows)
    ]


def measure(setup: EngineSetup, *, tokens: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One record an arm and gamma."""
    requests = requests_of(rows=setup.batch_size, tokens=tokens)
    for gamma in GAMMAS:
        engines: dict[Arm, Engine] = {}
        first: dict[Arm, list[Generation]] = {}
        for arm in ARMS:
            with launching(arm):
                engines[arm] = load_engine(f"native:gamma={gamma}", setup)
                # Records all that is replayed from here on.
                first[arm] = list(engines[arm].generate(requests))
        times: dict[Arm, list[float]] = {arm: [] for arm in ARMS}
        for turn in range(rounds):
            for arm in (*ARMS[turn % len(ARMS) :], *ARMS[: turn % len(ARMS)]):
                times[arm].append(median_step(list(engines[arm].generate(requests))))
        bits = [answer.logit_digests for answer in first[ARMS[0]]]
        for arm in ARMS:
            engines[arm].close()
            yield {
                "arm": arm.name,
                "gamma": gamma,
                "step_seconds": times[arm],
                "over_first": statistics.median(
                    before / after for before, after in zip(times[ARMS[0]], times[arm], strict=True)
                ),
                "same_bits": [answer.logit_digests for answer in first[arm]] == bits,
            }


def median_step(answers: Sequence[Generation]) -> float:
    """Seconds of a step, but for the first of each request, which has the prompt before it."""
    return statistics.median(
        step.seconds for answer in answers for step in answer.steps[1:] if step.seconds is not None
    )


def main() -> int:
    """Measure, write the records anew, print them; 1 where bits differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ahead")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    arguments, setup = parsed(parser)
    about: dict[str, Any] = {
        "pair": setup.pair,
        "dtype": setup.dtype,
        "batch_size": setup.batch_size,
        "code": code_of("benchmarks.ahead"),
    }
    records = [
        about | record
        for record in measure(setup, tokens=arguments.tokens, rounds=arguments.rounds)
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    for each in records:
        print(
            f"gamma {each['gamma']}, {each['arm']}: "
            f"{1e3 * statistics.median(each['step_seconds']):.3f} ms a step, "
            f"{each['over_first']:.3f}x the first, "
            f"bits {'the same' if each['same_bits'] else 'DIFFER'}"
        )
    return 0 if all(each["same_bits"] for each in records) else 1


if __name__ == "__main__":
    sys.exit(main())
