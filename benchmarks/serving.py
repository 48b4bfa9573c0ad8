"""Serve schedules and compare bits; measure what shared prefixes save, and what they cost.

    python -m benchmarks.serving bits --seeds 26 --out FILE
    python -m benchmarks.serving prefixes --rounds 7 --out FILE

``bits`` puts every schedule of `equivcheck.fault_matrix.service_schedules` to a plain and to a
speculative service, with another seed each time and gammas of 1, 4 and 7 in turn, and answers the
requests of every N-th seed one at a time outside of any service (``--alone N``). Compared are token
ids and the 64-bit fingerprint of every logits row. Exits 1 where something differs or nothing was
compared.

``prefixes`` serves requests behind one system message, and others that share nothing, with a store
of blocks and without one, in turn in one process. The time is that of the processor, with one
thread, as other work on the machine moves wall time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from equivcheck.capture.serve import answers_alone, serve_schedule
from equivcheck.checks.schedules import judge
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.load_suites import load_suite
from equivcheck.core.service_schedule import Arrival, Schedule
from equivcheck.core.settings import EngineSetup
from equivcheck.core.times import Arrives, ServingLimits
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine
from equivcheck.fault_matrix.service_schedules import WRITERS, service
from equivcheck.pairs.load import load_tokenizer
from equivcheck.pairs.prompts import encode

GAMMAS = (4, 1, 7)
SYSTEM = (
    "You are an assistant of a library. Answer in one short sentence, in the language of the "
    "question. Never give opening hours, since they change. Where a book is out, offer to put the "
    "reader on the list. Where nobody knows, say so. Do not speak of other readers. Do not give "
    "advice on law, money or health; name the shelf where books about it stand. Prices of lost "
    "books are on the web page. Children need a card of their own. Fines end on Sundays.\n"
)


def opened(spec: str, setup: EngineSetup) -> NativeEngine:
    """A native engine whose outcomes come one step late, as on a GPU."""
    engine = load_engine(spec, setup)
    assert isinstance(engine, NativeEngine)
    engine.decoder.runner.lag = 1
    return engine


def rows_differing(
    one: Mapping[str, Generation], other: Mapping[str, Generation]
) -> dict[str, int]:
    """Rows of logits that two arms have in common, and of these with other bits or tokens."""
    rows = bits = tokens = 0
    for key in one.keys() & other.keys():
        left, right = one[key], other[key]
        assert left.logit_digests is not None
        assert right.logit_digests is not None
        pairs = zip(left.logit_digests, right.logit_digests, strict=False)
        rows += min(len(left.logit_digests), len(right.logit_digests))
        bits += sum(a != b for a, b in pairs)
        tokens += left.token_ids != right.token_ids
    return {"rows": rows, "rows_with_other_bits": bits, "requests_with_other_tokens": tokens}


def measure_bits(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One record a schedule and seed."""
    setup = EngineSetup(
        pair="tiny", dtype=arguments.dtype, batch_size=4, context=256, threads=1, device="cpu"
    )
    plain = opened("native:gamma=0", setup)
    drafting = [opened(f"native:gamma={gamma}", setup) for gamma in GAMMAS]
    assert plain.contract.contract == drafting[0].contract.contract is not None
    tokenizer = load_tokenizer("tiny")
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name in WRITERS:
            asked = service(
                name,
                seed=seed,
                encode=lambda text: tokenizer(text)["input_ids"],
                eos=tokenizer.eos_token_id,
            )
            requests = list(asked.requests.values())
            lonely = seed % arguments.alone == 0
            served = serve_schedule(plain, asked.schedule, asked.requests)
            missing = [each for each in requests if each.key not in served.answers]
            alone = (
                answers_alone(plain, requests)
                if lonely
                else served.answers | {each.key: each for each in plain.generate(missing)}
            )
            arm = drafting[seed % len(GAMMAS)]
            speculative = serve_schedule(arm, asked.schedule, asked.requests)
            verdicts = [
                judge(asked.schedule, each, alone=alone, bits=True)[0].outcome
                for each in (served, speculative)
            ]
            yield {
                "schedule": name,
                "seed": seed,
                "gamma": GAMMAS[seed % len(GAMMAS)],
                "dtype": arguments.dtype,
                "contract": plain.contract.contract,
                "one_at_a_time": lonely,
                "to_plain": rows_differing(speculative.answers, served.answers),
                "to_alone": rows_differing(speculative.answers, alone if lonely else {}),
                "plain_to_alone": rows_differing(served.answers, alone if lonely else {}),
                "accused": verdicts.count(Outcome.FAIL),
                "not_exercised": verdicts.count(Outcome.INCONCLUSIVE),
                "given_up": speculative.count("given up"),
                "preempted": speculative.count("preempted"),
                "taken_over": speculative.count("taken over"),
            }


def in_turn(requests: Sequence[Request], *, prefix_tokens: int) -> Schedule:
    """Requests that come two a step."""
    arrivals = tuple(
        Arrival(key=each.key, arrives=Arrives(step=place // 2))
        for place, each in enumerate(requests)
    )
    limits = ServingLimits(prefix_tokens=prefix_tokens)
    return Schedule(name="prefixes", arrivals=arrivals, limits=limits)


def measure_prefixes(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One record an engine and set of prompts: processor time with a store, over that without."""
    setup = EngineSetup(pair="tiny", batch_size=8, context=1024, threads=1, device="cpu")
    tokenizer = load_tokenizer("tiny")
    cases = [
        case
        for name in ("chat", "code", "creative")
        for case in load_suite(Path("suites") / f"{name}.jsonl").cases
    ]
    prompts = [encode(tokenizer, case)[:200] for case in cases][: arguments.requests]
    system = tuple(tokenizer(SYSTEM)["input_ids"])
    for spec in ("native:gamma=0", "native:gamma=4"):
        engine = load_engine(spec, setup)
        assert isinstance(engine, NativeEngine)
        for shared, beginning in ((True, system), (False, ())):
            requests = {
                f"prefixes/{place}": Request(
                    key=f"prefixes/{place}",
                    prompt_ids=(*beginning, *prompt),
                    max_new_tokens=arguments.tokens,
                    ignore_eos=True,
                )
                for place, prompt in enumerate(prompts)
            }
            ratios, seconds = [], []
            answers, taken, steps = [], 0, {}
            for turn in range(arguments.rounds + 1):
                spent = {}
                for kept in (0, 8192) if turn % 2 else (8192, 0):
                    schedule = in_turn(list(requests.values()), prefix_tokens=kept)
                    started = time.process_time()
                    served = serve_schedule(engine, schedule, requests)
                    spent[kept] = time.process_time() - started
                    answers.append({key: each.token_ids for key, each in served.answers.items()})
                    taken = max(taken, served.count("taken over"))
                    steps[kept] = max(each.step for each in served.events)
                if turn:
                    ratios.append(spent[8192] / spent[0])
                    seconds.append(spent[0])
            assert all(each == answers[0] for each in answers)
            yield {
                "engine": spec,
                "shared": shared,
                "requests": len(requests),
                "prompt_tokens": sum(len(each.prompt_ids) for each in requests.values()),
                "output_tokens": arguments.tokens * len(requests),
                "taken_over": taken,
                "steps": steps[8192],
                "steps_without": steps[0],
                "seconds_without": round(statistics.median(seconds), 3),
                "ratio": round(statistics.median(ratios), 4),
                "ratios": [round(each, 4) for each in sorted(ratios)],
            }
        engine.close()


def totals(records: Sequence[Mapping[str, Any]], against: str) -> dict[str, int]:
    """Counts over all records of one comparison."""
    return {
        name: sum(record[against][name] for record in records)
        for name in ("rows", "rows_with_other_bits", "requests_with_other_tokens")
    }


def main() -> int:
    """Measure, append, print totals; 1 where bits differ or nothing was compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("what", choices=("bits", "prefixes"))
    parser.add_argument("--seeds", type=int, default=26)
    parser.add_argument("--first", type=int, default=0, help="go on from this seed")
    parser.add_argument("--alone", type=int, default=10, metavar="N")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    measure = measure_bits if arguments.what == "bits" else measure_prefixes
    records = []
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("a", encoding="utf-8") as file:
        for record in measure(arguments):
            file.write(json.dumps(record) + "\n")
            file.flush()
            records.append(record)
            print(json.dumps(record), flush=True)
    if arguments.what == "prefixes":
        return 0
    told = {name: totals(records, name) for name in ("to_plain", "to_alone", "plain_to_alone")}
    accused = sum(record["accused"] for record in records)
    runs = sum(1 + record["one_at_a_time"] for record in records)
    print(json.dumps({"runs": runs, "accused": accused, **told}))
    held = accused == 0 and all(
        each["rows"] and not each["rows_with_other_bits"] and not each["requests_with_other_tokens"]
        for each in told.values()
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
