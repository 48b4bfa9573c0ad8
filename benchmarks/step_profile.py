"""Where the time of a decoding step goes, by kernel.

    python -m benchmarks.step_profile --pair tiny --out FILE

A warm engine decodes the same requests plainly and speculatively under torch's profiler. Times are
sums over all steps, prompts read included; on CUDA those of the device, on a CPU those of the
operators themselves. ``--kernels library`` profiles torch's kernels alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from equivcheck.core.generation import Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine

ROWS = 18
"""Kernels listed; the rest is summed up."""
PROMPT = tuple(range(10, 42))
GAMMAS = (0, 4)


def profiled(
    spec: str, setup: EngineSetup, *, tokens: int
) -> tuple[int, list[tuple[str, float, int]]]:
    """Steps, and by kernel: name, microseconds in all, calls."""
    engine = load_engine(spec, setup)
    requests = [
        Request(
            key=f"profile/{row}",
            prompt_ids=PROMPT,
            max_new_tokens=tokens,
            ignore_eos=True,
            seed=row,
        )
        for row in range(setup.batch_size)
    ]
    list(engine.generate(requests))
    cuda = torch.cuda.is_available()
    activities = [ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]
    with profile(activities=activities) as trace:
        answers = list(engine.generate(requests))
    engine.close()
    events: Any = trace.key_averages()
    time_of = "self_device_time_total" if cuda else "self_cpu_time_total"
    rows = [(event.key, float(getattr(event, time_of)), int(event.count)) for event in events]
    return max(len(answer.steps) for answer in answers), sorted(rows, key=lambda row: -row[1])


def table(spec: str, steps: int, rows: list[tuple[str, float, int]]) -> Iterator[str]:
    """Markdown lines."""
    total = sum(time for _, time, _ in rows)
    yield f"## {spec}: {total / steps:,.0f} µs a step over {steps} steps"
    yield ""
    yield "| kernel | µs a step | share | calls a step |"
    yield "|---|---:|---:|---:|"
    rest = ("everything else", sum(time for _, time, _ in rows[ROWS:]), 0)
    for name, time, calls in [*rows[:ROWS], rest]:
        shown = name.replace("|", "/").replace("`", "'")[:80]
        yield f"| {shown} | {time / steps:,.1f} | {time / total:.1%} | {calls / steps:,.1f} |"
    yield ""


def parsed(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, EngineSetup]:
    """The arguments of a command that measures steps of one setup, and the setup."""
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    setup = EngineSetup(
        pair=arguments.pair,
        dtype=arguments.dtype,
        device=arguments.device,
        batch_size=arguments.batch_size,
        context=512,
    )
    return arguments, setup


def main() -> None:
    """Profile both decoders and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_profile")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--kernels", choices=("auto", "library"), default="auto")
    arguments, setup = parsed(parser)
    lines = [
        f"# Where a step's time goes: {arguments.pair}, {arguments.dtype}, batch "
        f"{arguments.batch_size}, torch {torch.__version__}",
        "",
    ]
    for spec in (f"native:gamma={gamma},kernels={arguments.kernels}" for gamma in GAMMAS):
        steps, rows = profiled(spec, setup, tokens=arguments.tokens)
        lines += table(spec, steps, rows)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
