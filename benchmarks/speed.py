"""Speed of plain and speculative decoding against each other and against transformers, paired.

    python -m benchmarks.speed --pair tiny --out FILE

All arms answer the same greedy prompts one at a time, in turn, prompt by prompt, so that a machine
that slows down slows all of them. A speedup is the geometric mean over prompts of the ratio of
times, with a 95 % t-interval over prompts; it is printed only if the arms' tokens agree.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy import stats

from equivcheck.acceptance import acceptance_of
from equivcheck.engines.protocol import Engine
from equivcheck.engines.registry import load_engine
from equivcheck.generation import Generation, Request
from equivcheck.pairs.load import load_tokenizer
from equivcheck.pairs.prompts import encode
from equivcheck.settings import EngineSetup
from equivcheck.suites import load_suite

SUITES = ("code", "json_sql", "chat", "multilingual", "creative")
PLAIN = "native:gamma=0"
NARROW = "native:gamma=0,width=1"
TRANSFORMERS = "transformers:scores=false"


def requests_for(setup: EngineSetup, *, prompts: int, tokens: int) -> dict[str, list[Request]]:
    """The first greedy cases of each class, without penalties or stops."""
    tokenizer = load_tokenizer(setup.pair)
    chosen: dict[str, list[Request]] = {}
    for name in SUITES:
        suite = load_suite(Path("suites") / f"{name}.jsonl")
        cases = [case for case in suite.cases if case.sampling.greedy][:prompts]
        chosen[name] = [
            Request(
                key=suite.key(case),
                prompt_ids=encode(tokenizer, case),
                max_new_tokens=tokens,
                ignore_eos=True,
            )
            for case in cases
        ]
    return chosen


def timed(engine: Engine, request: Request) -> tuple[float, Generation]:
    """Seconds for one request, prompt included, and its answer."""
    started = time.perf_counter()
    (generation,) = engine.generate([request])
    return time.perf_counter() - started, generation


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of the paired ratios and its 95 % interval over prompts."""
    logs = [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]
    centre = statistics.fmean(logs)
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(centre), math.exp(centre - half), math.exp(centre + half)


def main() -> None:
    """Measure, append one record a class, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--gamma", type=int, default=4)
    parser.add_argument("--drafter", default="auto", choices=("auto", "lookup"))
    parser.add_argument("--prompts", type=int, default=12, help="per class")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    setup = EngineSetup(pair=arguments.pair, dtype=arguments.dtype, batch_size=1)
    lookup = arguments.drafter == "lookup"
    fast = f"native:gamma={arguments.gamma},drafter={arguments.drafter}"
    assisted = (
        f"transformers:mode={'lookup' if lookup else 'assisted'},gamma={arguments.gamma},"
        "scores=false"
    )
    engines = {
        spec: load_engine(spec, setup) for spec in (PLAIN, fast, NARROW, TRANSFORMERS, assisted)
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("a", encoding="utf-8") as file:
        for name, requests in requests_for(
            setup, prompts=arguments.prompts, tokens=arguments.tokens
        ).items():
            record = measure(engines, requests, fast=fast, assisted=assisted)
            record |= {"class": name, "pair": arguments.pair, "dtype": arguments.dtype}
            record |= {"gamma": arguments.gamma, "threads": torch.get_num_threads()}
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(json.dumps(record), flush=True)


def measure(
    engines: dict[str, Engine], requests: Sequence[Request], *, fast: str, assisted: str
) -> dict[str, object]:
    """All arms over one class's prompts."""
    for engine in engines.values():
        timed(engine, requests[0])
    seconds: dict[str, list[float]] = {spec: [] for spec in engines}
    answers: dict[str, list[Generation]] = {spec: [] for spec in engines}
    for request in requests:
        for spec, engine in engines.items():
            spent, generation = timed(engine, request)
            seconds[spec].append(spent)
            answers[spec].append(generation)
    same = [
        left.token_ids == right.token_ids
        for left, right in zip(answers[PLAIN], answers[fast], strict=True)
    ]
    accepted = acceptance_of(answers[fast])
    record: dict[str, object] = {
        "prompts": len(requests),
        "tokens": sum(len(generation.token_ids) for generation in answers[PLAIN]),
        "identical": sum(same),
        "acceptance": accepted.rate,
        "tokens_per_step": accepted.mean_length,
        "tokens_per_second": {
            spec: round(sum(len(a.token_ids) for a in answers[spec]) / sum(times), 1)
            for spec, times in seconds.items()
        },
        "identity_tax": ratio(seconds[PLAIN], seconds[NARROW]),
    }
    if all(same):
        record |= {
            "speedup_over_padded_plain": ratio(seconds[PLAIN], seconds[fast]),
            "speedup_over_one_token_plain": ratio(seconds[NARROW], seconds[fast]),
            "speedup_over_transformers_plain": ratio(seconds[TRANSFORMERS], seconds[fast]),
            "speedup_over_transformers_assisted": ratio(seconds[assisted], seconds[fast]),
        }
    return record


if __name__ == "__main__":
    main()
