"""``equivcheck bench``: measure what speculation gains, on the same prompts as plain decoding."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equivcheck.cli.output import Output, json_option, note
from equivcheck.cli.setup_options import read_settings, setup_options
from equivcheck.core.errors import SettingsError
from equivcheck.core.exit_codes import EXIT_CODES, INTERRUPTED
from equivcheck.core.findings import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from equivcheck.core.cases import Suite
    from equivcheck.core.settings import WorkloadLimits
    from equivcheck.metrics.records import Bench, BenchSettings
    from equivcheck.records.shards import Which

SUITES = ("code", "json_sql", "chat", "multilingual", "creative")
OUT = "reports/bench"


@click.command("bench")
@click.argument("suites", nargs=-1, metavar="[SUITES]...")
@setup_options
@click.option(
    "--draft",
    "drafts",
    multiple=True,
    metavar="SPEC",
    help="Candidate to compare: an engine (native:drafter=lookup) or a pair (TARGET+DRAFT). "
    "May be repeated; in place of --candidate.",
)
@click.option(
    "--against",
    "others",
    multiple=True,
    metavar="ENGINE",
    help="Another engine to measure beside them, e.g. transformers:mode=assisted,scores=false.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=1,2,...",
    help="Go through values of batch, gamma or context. May be repeated.",
)
@click.option("--worst-case", is_flag=True, help="Add a draft that is never right.")
@click.option("--no-stock", is_flag=True, help="Leave plain one-token decoding out.")
@click.option("--prompts", type=click.IntRange(1), default=8, help="Per workload. [8]")
@click.option("--tokens", type=click.IntRange(2), default=96, help="New tokens a prompt. [96]")
@click.option("--repeats", type=click.IntRange(1), default=1, help="Of every prompt. [1]")
@click.option(
    "--warm-ups",
    type=click.IntRange(0),
    default=1,
    help="Answers of every arm that do not count. [1]",
)
@click.option(
    "--refills",
    type=click.IntRange(0),
    default=0,
    help="Times that a row of a batch above 1 is given another prompt. [0]",
)
@click.option(
    "--arrivals",
    "arrivals",
    multiple=True,
    metavar="LOAD",
    help="Requests that come at times of their own: poisson:RATE, so many a second, the --prompts "
    "of a workload a run; or burst:N, so many at once. May be repeated.",
)
@click.option(
    "--goodput",
    "goodput",
    multiple=True,
    metavar="NAME:MS",
    help="Count requests within a limit in milliseconds: ttft:300, tpot:50, e2e:2000. May be "
    "repeated.",
)
@click.option("--out", default=OUT, metavar="PLACE", help=f"Folder, or file.jsonl. [{OUT}]")
@click.option(
    "--shard",
    metavar="I/N",
    help="Only the I-th of N parts of each workload's prompts, in a folder of its own below --out; "
    "'auto' or 'auto/N' as for run.",
)
@click.option("--fresh", is_flag=True, help="Throw an unfinished measurement away.")
@click.option("--show", is_flag=True, help="Measure nothing; sum up what is at --out.")
@json_option
def command(
    *,
    suites: tuple[str, ...],
    drafts: tuple[str, ...],
    others: tuple[str, ...],
    sweeps: tuple[str, ...],
    worst_case: bool,
    no_stock: bool,
    prompts: int,
    tokens: int,
    repeats: int,
    warm_ups: int,
    refills: int,
    arrivals: tuple[str, ...],
    goodput: tuple[str, ...],
    out: str,
    shard: str | None,
    fresh: bool,
    show: bool,
    overrides: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> int:
    """Measure candidate and plain decoding in turn over the greedy prompts of SUITES.

    Batch size is 1 unless it is given or swept; with --arrivals it is that of the settings. A
    speedup is printed only where all tokens are the target's; otherwise the exit code is 1, and 3
    of an unfinished measurement. An interrupted one is resumed.
    """
    from equivcheck.metrics.records_file import bench_path, read_bench
    from equivcheck.records.shards import read_which

    which = read_which(shard, os.environ) if shard else None
    path = bench_path(Path(out) / which.folder if which else out)
    settings = read_settings(flags, overrides)
    if show:
        return say_bench(read_bench(path), path, limits=settings.workload, as_json=as_json)
    import msgspec

    from equivcheck.bench.arms import Sweeps, arms_of, points_of
    from equivcheck.bench.arrivals import parse_arrivals, parse_objectives
    from equivcheck.core.load_suites import load_suites
    from equivcheck.metrics.records import BenchSettings
    from equivcheck.records.run_folder import lock

    setup, loads = settings.setup, parse_arrivals(arrivals, prompts=prompts)
    objectives = parse_objectives(goodput)
    if objectives and not loads:
        raise SettingsError("--goodput: it counts requests under load; give --arrivals, too")
    if flags.get("batch_size") is None and not loads:
        setup = msgspec.structs.replace(setup, batch_size=1)
    swept = Sweeps.parse(sweeps)
    bench = BenchSettings(
        setup=setup,
        arms=arms_of(
            settings,
            drafts=drafts,
            others=others,
            gammas=swept.gamma,
            worst=worst_case,
            stock=not no_stock,
        ),
        points=points_of(setup, swept, refills=refills, arrivals=loads),
        tokens=tokens,
        repeats=repeats,
        warm_ups=warm_ups,
        order=settings.arms,
        clock=settings.clock,
        engine=settings.engine,
        objectives=objectives,
    )
    chosen = load_suites(suites or [f"suites/{name}.jsonl" for name in SUITES])
    with lock(path.parent):
        try:
            measured = _measure(bench, chosen, path, prompts=prompts, fresh=fresh, which=which)
        except KeyboardInterrupt:
            note(f"\ninterrupted; what was measured is kept in {path}; run the same again")
            return INTERRUPTED
    return say_bench(measured, path, limits=settings.workload, as_json=as_json)


def _measure(
    settings: BenchSettings,
    suites: Sequence[Suite],
    path: Path,
    *,
    prompts: int,
    fresh: bool,
    which: Which | None,
) -> Bench:
    from equivcheck.bench.start import run_bench
    from equivcheck.cli.progress import shown_progress

    with shown_progress() as progress:
        return run_bench(
            settings, suites, path, prompts=prompts, fresh=fresh, which=which, progress=progress
        )


def say_bench(
    bench: Bench, path: Path, *, limits: Mapping[str, WorkloadLimits], as_json: bool
) -> int:
    """Print the summary; 1 where a candidate has other tokens or a limit of the project is not met,
    and 3 where one cannot be told or answers are missing.
    """
    import msgspec

    from equivcheck.baselines.limits import limit_findings
    from equivcheck.cli.bench_words import lines_of
    from equivcheck.compare.from_bench import figures_of
    from equivcheck.metrics.summarise import summarise

    summary = summarise(bench)
    output = Output(as_json=as_json)
    if summary.missing:
        output.say_lines([f"INCONCLUSIVE — this measurement is {summary.missing}", ""])
    output.say_lines(lines_of(summary))
    held_to = limit_findings(figures_of(bench), limits) if limits else ()
    for finding in held_to:
        output.say_lines([f"{finding.outcome.value} limit {finding.subject}: {finding.headline}"])
    output.say(f"records: {path}")
    output.document(msgspec.to_builtins(summary, str_keys=True) | {"limits": held_to})
    candidates = {arm.name for arm in summary.arms if arm.role == "candidate"}
    if not all(each.holds for each in summary.comparisons if each.arm in candidates):
        return EXIT_CODES[Outcome.FAIL]
    if summary.missing:
        return EXIT_CODES[Outcome.INCONCLUSIVE]
    return EXIT_CODES[worst([finding.outcome for finding in held_to])] if held_to else 0
