"""One record a stream: sound ones for size, faulty ones for power."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.power.detection import quantile, replicated, times
from benchmarks.power.fixed import output_tests, stage_tests
from benchmarks.power.plan import Plan
from benchmarks.power.rivals import l2_accuses, two_sample
from benchmarks.power.size import crossed_of
from benchmarks.power.streams import PROMPTS, SOUND, TOKENS, Stream, drawn
from equivcheck.core.settings import EngineSetup

ROUND = PROMPTS * TOKENS
ENOUGH, LEAST = 4, 6
"""Times the first detection that a pool holds, and rounds that it holds at least."""
STEP = 6
"""Rounds drawn at once."""
SEED, SOUND_SEED = 10_000_000, 90_000_000


def sound_stream(distribution: str, *, rounds: int, setup: EngineSetup) -> Stream:
    """Outputs of the decoder without a fault."""
    (stream,) = drawn(SOUND, distribution, seed=SOUND_SEED, rounds=[rounds], setup=setup)
    return stream


def faulty_stream(plan: Plan, *, most: int, setup: EngineSetup) -> Stream:
    """Outputs of a faulty decoder: until the gate has failed several times over, or enough."""
    spec = f"{SOUND},fault={plan.fault}"
    limit = min(plan.most, most) // ROUND
    rounds = [LEAST] + [STEP] * max(0, (limit - LEAST + STEP - 1) // STEP)
    for found in drawn(spec, plan.distribution, seed=SEED, rounds=rounds, setup=setup):
        stream = found
        caught = times(stream.table).wealth
        if caught is not None and stream.table.rows >= ENOUGH * caught:
            break
    return stream


def power_record(
    plan: Plan, reference: Stream, *, most: int, replicates: int, setup: EngineSetup
) -> dict[str, Any]:
    """Everything about one fault."""
    started = time.perf_counter()
    stream = faulty_stream(plan, most=most, setup=setup)
    table, drew = stream.table, time.perf_counter() - started
    first = times(table)
    output = times(table, stages=False)
    whole = PROMPTS if plan.side_by_side else 0
    record: dict[str, Any] = {
        "part": "power",
        "fault": plan.fault,
        "law": plan.distribution,
        "tokens": table.rows,
        "draft_distance": round(float(table.distance.mean()), 4),
        "first": {"gate": first.gate, "wealth": first.wealth, "by": first.part},
        "first_output_only": output.wealth,
    }
    for name, stages, start in (
        ("gate", True, first.wealth),
        ("output", False, output.wealth),
    ):
        # A table in which nothing was found tells of orders no more than that.
        if start is None:
            continue
        tries = replicates if start < 6_000 else max(20, replicates // 3)
        found = replicated(
            table,
            replicates=tries,
            first=max(ROUND, int(1.5 * start)),
            stages=stages,
            whole_rounds=whole,
            seed=1,
        )
        kinds = {"gate": [each.gate for each in found], "wealth": [each.wealth for each in found]}
        record[name] = {"orders": tries} | {
            kind: {"median": quantile(values, 0.5), "p95": quantile(values, 0.95)}
            for kind, values in kinds.items()
        }
    mmd = two_sample(stream.tokens, reference.tokens, prompts=PROMPTS)
    return record | {
        "fixed_output": rounded(output_tests(table)),
        "fixed_stages": rounded(stage_tests(table)),
        "l2_accuses": l2_accuses(table),
        "mmd": {"tokens": round(mmd.tokens), "resolved": mmd.resolved},
        "seconds": {
            "draw_and_score": round(drew, 1),
            "all": round(time.perf_counter() - started, 1),
        },
    }


def sound_record(distribution: str, stream: Stream) -> dict[str, Any]:
    """The same instruments on a sound decoder; every round of it is a gate of its own."""
    table = stream.table
    found = times(table)
    return {
        "part": "sound",
        "law": distribution,
        "tokens": table.rows,
        "draft_distance": round(float(table.distance.mean()), 4),
        "gate": found.gate,
        "fixed_output": rounded(output_tests(table)),
        "fixed_stages": rounded(stage_tests(table)),
        "l2_accuses": l2_accuses(table),
        "gates_of_a_round": crossed_of(table, each=PROMPTS),
    }


def rounded(found: dict[str, float | None]) -> dict[str, int | None]:
    """Whole tokens."""
    return {name: None if value is None else int(np.ceil(value)) for name, value in found.items()}
