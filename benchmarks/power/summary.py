"""The records as a page of Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.power.plan import PLANS
from benchmarks.power.size import ALPHAS, interval

Record = dict[str, Any]
FACTOR, SHARE, FEWER, BUDGET = 1.5, 0.75, 25, 60_000
KEY = (
    "recovery-shares-noise",
    "stream-shared-rejection",
    "leak-5",
    "bonus-from-draft",
    "temperature-5",
)
INTRODUCTION = """\
# Size and power of the sampled gate

Written by `python -m benchmarks.power`; not edited by hand. Bundled pair, fp32, CPU, four drafts a
step, token-level rejection unless another rule is named, 32 prompts a round, 32 tokens an output,
one distribution a stream. Tokens are output tokens. Each fault is drawn once; medians and 95 %
points are over random orders of its whole outputs (the pool is finite, so that they vary less than
fresh draws would). "Gate" is an impossible event or the combined e-process at 1/10,000; "output
alone" is the e-process without the trace, as for an engine that reports no steps. Fixed-n tests:
tokens for 95 % power at 1/10,000, from the effect in the pool, of the best of a group chosen in
hindsight; "> n" where no effect was clear in n tokens.
"""
NOTES = """\
Below some 500 tokens a chi-square or z-test does not keep a level of 1/10,000, so that small
figures of theirs are too good to be true. L2: whether vLLM's convergence heuristic (distance to
the distribution must fall 20 times as much as to random distributions from 10 to 100,000 samples),
computed over 30 bins, would accuse at 100,000 tokens. MMD: the Hamming two-sample statistic of
Model Equality Testing, by counts (the package, 0.0.2, gives the same but for a constant factor),
both arms together, 95 % power; "at least" where its effect was not clear, which is then a bound
in its favour. Simulated: tokens at 99 % (median) that a synthetic pair had led to expect, of output
alone and of the cheapest trace test.

A fault shows only where it changes something. The residual at temperature 1 is right at
temperature 1; the nucleus faults need a top-p, `raw-draft-law` needs a cut; none of the rules
exists in greedy or coupled decoding. `stream-shared-rejection` leaves every output alone right:
only outputs beside each other show it.
"""


def summary(records: Sequence[Record]) -> str:
    """Everything measured so far."""
    power = {record["fault"]: record for record in records if record["part"] == "power"}
    lines = [INTRODUCTION, "## Power", "", *power_table(power), "", NOTES, *goals(power)]
    lines += ["", "## Size", "", *size_lines(records), ""]
    return "\n".join(lines)


def power_table(power: dict[str, Record]) -> Iterator[str]:
    """One line a fault, in the plan's order."""
    yield (
        "| fault | sampling | pool | found by | gate: median (95 %) | e-process: median (95 %) | "
        "output alone: median (95 %) | best fixed-n, output | best fixed-n, stage | L2 | MMD | "
        "simulated: output; trace |"
    )
    yield "|---|---|---:|---|---:|---:|---:|---:|---:|---|---:|---|"
    for plan in PLANS:
        if plan.fault not in power:
            continue
        found = power[plan.fault]
        mmd = found["mmd"]
        cells = [
            f"`{plan.fault}`",
            plan.distribution,
            shown(found["tokens"]),
            found["first"]["by"] or "nothing",
            times(found, "gate", "gate"),
            times(found, "gate", "wealth"),
            times(found, "output", "wealth"),
            fixed(found, "fixed_output"),
            fixed(found, "fixed_stages"),
            "accuses" if found["l2_accuses"] else "passes",
            f"{'' if mmd['resolved'] else 'at least '}{shown(mmd['tokens'])}",
            f"{plan.expected_output}; {plan.expected_trace}",
        ]
        yield f"| {' | '.join(cells)} |"


def shown(tokens: float) -> str:
    """Three digits are enough."""
    rounded = float(f"{tokens:.3g}")
    return f"{rounded:,.0f}"


def times(found: Record, part: str, kind: str) -> str:
    """Median and 95 % point."""
    if part not in found:
        if kind == "gate" and found["first"]["gate"] is not None:
            return f"once at {shown(found['first']['gate'])}"
        return f"> {shown(found['tokens'])}"
    values = found[part][kind]
    median, high = (
        f"> {shown(found['tokens'])}" if values[name] is None else shown(values[name])
        for name in ("median", "p95")
    )
    return f"{median} ({high})"


def best(found: Record, group: str) -> tuple[float, str] | None:
    """The cheapest test of a group."""
    known = [(tokens, name) for name, tokens in found[group].items() if tokens is not None]
    return min(known, default=None)


def fixed(found: Record, group: str) -> str:
    """The same in words."""
    cheapest = best(found, group)
    return f"{shown(cheapest[0])} {cheapest[1]}" if cheapest else f"> {shown(found['tokens'])}"


def late(found: Record, part: str, kind: str = "wealth") -> float | None:
    """The 95 % point, None where it lies beyond the pool."""
    value = found.get(part, {}).get(kind, {}).get("p95")
    return None if value is None else float(value)


def goals(power: dict[str, Record]) -> Iterator[str]:
    """What was aimed for, and what came out."""
    yield "## Against what was aimed for"
    yield ""
    for aim, part, groups in (
        ("output alone against the best fixed-n test of the output", "output", ["fixed_output"]),
        ("gate against the best fixed-n test of the output", "gate", ["fixed_output"]),
        ("gate against the best fixed-n test of output or stage", "gate", list(GROUPS)),
    ):
        within = compared = 0
        for found in power.values():
            rivals = [cheapest for group in groups if (cheapest := best(found, group))]
            point = late(found, part, "gate" if part == "gate" else "wealth")
            if rivals:
                compared += 1
                within += point is not None and point <= FACTOR * min(rivals)[0]
        yield (
            f"- {aim}, both at 95 %: within {FACTOR:g} times for {within} of {compared} faults "
            f"(aim: {SHARE:.0%})."
        )
    ratios = [
        found["mmd"]["tokens"] / point
        for found in power.values()
        if (point := late(found, "gate", "gate"))
    ]
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        yield (
            f"- MMD takes at least {mean:,.0f} times the gate's tokens (geometric mean over "
            f"{len(ratios)} faults, bounds counted as they are; median "
            f"{statistics.median(ratios):,.0f}; aim: {FEWER})."
        )
    for name in KEY:
        if name in power:
            point = late(power[name], "gate", "gate")
            caught = f"95 % within {shown(point)} tokens" if point else "not in its pool"
            yield f"- `{name}`: {caught} (aim: {BUDGET:,})."
    missed = [name for name, found in power.items() if found["first"]["gate"] is None]
    if missed:
        yield (
            f"- Not caught in the pool drawn: {', '.join(f'`{name}`' for name in missed)}. "
            "Below what this many tokens can show on this pair."
        )


GROUPS = ("fixed_output", "fixed_stages")
USUAL = {"pair": "tiny", "rule": "rejection", "law": "five samplings"}
"""What a record of size is of where it does not say."""


def size_lines(records: Sequence[Record]) -> Iterator[str]:
    """False alarms, and the tabular pair's bound."""
    yield "Gates of a sound decoder, each on its own tokens: how many ever reach 1/alpha,"
    yield "with exact 95 % intervals of the rate."
    yield ""
    alphas = " | ".join(f"alpha = {alpha:g}" for alpha in ALPHAS)
    yield f"| pair | rule | distribution | gates | impossible events | {alphas} |"
    yield f"|---|---|---|---:|---:|{'---:|' * len(ALPHAS)}"
    for record in records:
        if record["part"] in ("sound", "size"):
            counts = record.get("counts") or record["gates_of_a_round"]
            rates = []
            for alpha in ALPHAS:
                low, high = interval(counts[f"{alpha:g}"], counts["gates"])
                rates.append(f"{counts[f'{alpha:g}']} [{low:.4f}, {high:.4f}]")
            head = [record.get(field, usual) for field, usual in USUAL.items()]
            cells = [*head, str(counts["gates"]), str(counts["impossible"]), *rates]
            yield f"| {' | '.join(cells)} |"
    for record in records:
        if record["part"] == "variation":
            yield ""
            yield (
                f"Tabular pair, {record['tokens']:,} tokens of a sound decoder through the real "
                f"decode loop: no context's distribution is farther than {record['bound']:.4f} in "
                f"total variation from the target's, but with probability {record['level']:g} "
                f"(observed {record['estimate']:.4f} at most; "
                f"chi-square p = {record['p_value']:.2f})."
            )
