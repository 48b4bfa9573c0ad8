"""Compare logits bit for bit between plain and speculative decoding, over many positions.

    python -m benchmarks.identity --pair tiny --dtype float32 --positions 50000 --out FILE

Every prompt of the suites is decoded plainly, then speculatively with one gamma of 1 to 7 (the
prompts are dealt out among them), and every seventh prompt once more one token wide by torch's
kernels, whose bits differ: the comparison can fail. With
``--gamma`` only the share of that gamma is, so that the work can be divided. A third
of the prompts is greedy, a third sampled at temperature 0.7, a third at 1.0, all under the coupled
rule. Compared are token ids and the 64-bit fingerprint of every logits row. Rows are counted by the
slot of the window that they come from too: with a draft that is often right (``--pair
tiny+tiny:3bit``) many come from the last ones.

With ``--options`` another drafter drafts (``drafter=suffix``, ``drafter=eagle3,head=FOLDER``).
With ``--other-batch-size``, a quarter of the prompts is decoded at that batch size too, plainly and
speculatively: equal bits there are what ``--contract batch-invariant`` promises.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch

from benchmarks.stage_records import code_of
from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine
from equivcheck.pairs.prompts import encode

USUAL, INVARIANT = "fixed-shape", "batch-invariant"
GAMMAS = range(1, 8)
TEMPERATURES = (0.0, 0.7, 1.0)
OTHER_SHARE = 4
"""One request in so many is also decoded at the other batch sizes."""
SUITES = ("code", "json_sql", "chat", "multilingual", "creative")


def requests_for(engine: NativeEngine, *, positions: int, tokens: int, first: int) -> list[Request]:
    """Requests of `tokens` tokens each, from number `first` on; prompts repeat, seeds do not."""
    cases = [
        (suite.key(case), case)
        for suite in (load_suite(Path("suites") / f"{name}.jsonl") for name in SUITES)
        for case in suite.cases
    ]
    prompts = [(key, encode(engine.pair.tokenizer, case)) for key, case in cases]
    # Interleave the classes, so that the first so many requests hold all of them.
    prompts.sort(key=lambda item: (len(item[1]) * 7919) % 101)
    count = -(-positions // tokens)
    requests = []
    for index in range(first, first + count):
        key, prompt = prompts[index % len(prompts)]
        limit = engine.setup.context - tokens
        requests.append(
            Request(
                key=f"{key}#{index}",
                prompt_ids=prompt[-limit:],
                max_new_tokens=tokens,
                sampling=Sampling(temperature=TEMPERATURES[index % len(TEMPERATURES)]),
                ignore_eos=True,
                seed=index,
            )
        )
    return requests


def answers(spec: str, setup: EngineSetup, requests: Sequence[Request]) -> dict[str, Generation]:
    """What an engine makes of the requests."""
    engine = load_engine(spec, setup)
    try:
        return {generation.key: generation for generation in engine.generate(requests)}
    finally:
        engine.close()


def compare(
    plain: dict[str, Generation], other: dict[str, Generation], requests: Sequence[Request]
) -> dict[str, object]:
    """Count what differs. Positions after a differing token have other prefixes: not counted."""
    positions = bits = tokens = sampled = 0
    drafted = accepted = steps = 0
    by_slot: Counter[int] = Counter()
    for request in requests:
        left, right = plain[request.key], other[request.key]
        pairs = zip(
            zip(left.token_ids, left.logit_digests or (), strict=True),
            zip(right.token_ids, right.logit_digests or (), strict=True),
            (slot for step in right.steps for slot in range(step.emitted)),
            strict=True,
        )
        for (left_token, left_bits), (right_token, right_bits), slot in pairs:
            positions += 1
            by_slot[slot] += 1
            sampled += not request.sampling.greedy
            bits += left_bits != right_bits
            if left_token != right_token:
                tokens += 1
                break
        drafted += sum(step.drafted for step in right.steps)
        accepted += sum(step.accepted for step in right.steps)
        steps += len(right.steps)
    return {
        "requests": len(requests),
        "positions": positions,
        "positions_by_slot": [by_slot[slot] for slot in range(max(by_slot, default=-1) + 1)],
        "sampled_positions": sampled,
        "positions_with_other_bits": bits,
        "requests_with_other_tokens": tokens,
        "drafted": drafted,
        "accepted": accepted,
        "steps": steps,
    }


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Run all arms; yield one record a comparison."""
    setup = EngineSetup(
        pair=arguments.pair,
        dtype=arguments.dtype,
        device=arguments.device,
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        context=1024,
    )
    engine = load_engine(spec_of("gamma=0", contract=arguments.contract), setup)
    assert isinstance(engine, NativeEngine)
    common = {
        "pair": arguments.pair,
        "dtype": arguments.dtype,
        "batch_size": arguments.batch_size,
        "contract": engine.contract.contract,
        "device": engine.contract.device,
        "torch": str(torch.__version__),
        "code": code_of("benchmarks.identity"),
    }
    requests = requests_for(
        engine,
        positions=arguments.positions,
        tokens=arguments.tokens,
        first=arguments.first,
    )
    for gamma in arguments.gamma or GAMMAS:
        # Dealt out by threes, so that every gamma meets every temperature.
        share = [r for i, r in enumerate(requests) if (i // 3) % len(GAMMAS) == gamma - 1]
        if not share:
            continue
        started = time.perf_counter()
        plain = {generation.key: generation for generation in engine.generate(share)}
        for arm in arms_of(arguments, gamma=gamma):
            asked = share
            if arm.batch_size != setup.batch_size:
                asked = share[: -(-len(share) // OTHER_SHARE)]
            there = msgspec.structs.replace(setup, batch_size=arm.batch_size)
            counted = compare(plain, answers(arm.spec, there, asked), asked)
            told = {"arm": arm.spec, "arm_batch_size": arm.batch_size}
            seconds = round(time.perf_counter() - started, 1)
            yield common | told | counted | {"seconds": seconds}


class Arm(NamedTuple):
    """What is held against plain decoding."""

    spec: str
    batch_size: int


def arms_of(arguments: argparse.Namespace, *, gamma: int) -> Iterator[Arm]:
    """The arms of one gamma; plain ones only with the first."""
    drafting = f"gamma={gamma}" + (f",{arguments.options}" if arguments.options else "")
    speculative = spec_of(drafting, contract=arguments.contract)
    yield Arm(speculative, arguments.batch_size)
    if gamma == GAMMAS[0]:
        yield Arm(
            spec_of(narrow(arguments.contract), contract=arguments.contract), arguments.batch_size
        )
    for other in arguments.other_batch_size:
        yield Arm(speculative, other)
        if gamma == GAMMAS[0]:
            yield Arm(spec_of("gamma=0", contract=arguments.contract), other)


def narrow(contract: str) -> str:
    """Plain decoding one token wide, by torch's kernels unless bits are promised at that width."""
    return "gamma=0,width=1" if contract == INVARIANT else "gamma=0,width=1,kernels=library"


def spec_of(options: str, *, contract: str) -> str:
    """A native engine; the usual contract goes without saying."""
    return f"native:{options}" + ("" if contract == USUAL else f",contract={contract}")


def promised(record: Mapping[str, Any]) -> bool:
    """Whether a contract says that nothing may differ there.

    At another width or batch size only where it was asked for by name: kernels that hold any
    shape may also have stood in for the library's, which the other arm then ran.
    """
    named = f"contract={INVARIANT}" in record["arm"]
    alike = "width=1" not in record["arm"] and record["arm_batch_size"] == record["batch_size"]
    return record["contract"] is not None and (named or alike)


def holds(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is a promise, rows were compared for each, and none differs."""
    kept = [record for record in records if promised(record)]
    return bool(kept) and all(
        record["positions"]
        and not record["positions_with_other_bits"]
        and not record["requests_with_other_tokens"]
        for record in kept
    )


def main() -> int:
    """Measure, append the records, print the totals; 1 where a promise is broken or not tested."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identity")
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--other-batch-size", type=int, action="append", default=[])
    parser.add_argument("--contract", choices=(USUAL, INVARIANT), default=USUAL)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--options", default="", help="of what drafts, e.g. drafter=suffix")
    parser.add_argument("--gamma", type=int, action="append", choices=GAMMAS, metavar="GAMMA")
    parser.add_argument("--positions", type=int, default=50_000)
    parser.add_argument("--tokens", type=int, default=128, help="output tokens per request")
    parser.add_argument("--first", type=int, default=0, help="go on from this request")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    records = []
    with arguments.out.open("a", encoding="utf-8") as file:
        for record in measure(arguments):
            file.write(json.dumps(record) + "\n")
            file.flush()
            records.append(record)
            print(
                f"{record['pair']} {record['dtype']} batch {record['batch_size']} against "
                f"{record['arm']} at {record['arm_batch_size']}: "
                f"{record['positions_with_other_bits']:,} of {record['positions']:,} positions "
                f"with other bits, {record['requests_with_other_tokens']} of "
                f"{record['requests']} requests with other tokens ({record['seconds']} s)",
                flush=True,
            )
    return 0 if holds(records) else 1


if __name__ == "__main__":
    sys.exit(main())
