"""``equivcheck advise``: whether a measured speculation is worth switching on, by workload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Outcome

if TYPE_CHECKING:
    from equivcheck.advise.policy import Route, Routes


SHARE = click.FloatRange(0, 1)
POSITIVE = click.FloatRange(0, min_open=True)


@click.command("advise")
@click.argument("bench", metavar="RUN")
@click.option("--verdict", metavar="RUN", help="Judged run of the same candidate.")
@click.option("--previous", metavar="FILE", help="The routes.json in force: what a hold keeps.")
@click.option("--arm", metavar="NAME", help="Candidate. [the fastest for each workload]")
@click.option("--baseline", metavar="ARM", help="Plain arm one would run otherwise. [stock]")
@click.option("--point", type=int, default=0, help="Which of the measurement's settings. [0]")
@click.option("--enable-at", type=SHARE, default=0.40, help="Acceptance to enable at. [0.40]")
@click.option("--disable-at", type=SHARE, default=0.35, help="Acceptance to disable at. [0.35]")
@click.option("--least-speedup", type=POSITIVE, default=1.05, help="[1.05]")
@click.option("--p99-limit", type=POSITIVE, default=1.5, help="Most of the p99 ratio. [1.5]")
@click.option(
    "--least-goodput",
    type=POSITIVE,
    default=0.95,
    help="Least of requests within stated limits under load, over the plain arm's. [0.95]",
)
@click.option("--price-per-hour", type=POSITIVE, help="Of the machine, for the cost of tokens.")
@click.option("--out", metavar="FILE", help="Where the routes go. [routes.json beside RUN]")
@json_option
def command(
    *,
    bench: str,
    verdict: str | None,
    previous: str | None,
    arm: str | None,
    baseline: str | None,
    point: int,
    enable_at: float,
    disable_at: float,
    least_speedup: float,
    p99_limit: float,
    least_goodput: float,
    price_per_hour: float | None,
    out: str | None,
    as_json: bool,
) -> int:
    """Say for each workload of the measurement RUN whether speculation should be on.

    Bounds of intervals decide, not estimates. Without a passing verdict nothing is enabled. Of an
    unfinished measurement nothing is said, and the exit code is 3.
    """
    from equivcheck.advise.advise import advise
    from equivcheck.advise.policy import ROUTES_NAME, Policy, read_routes, write_routes
    from equivcheck.advise.proofs import proofs_from
    from equivcheck.metrics.records_file import bench_path, read_bench
    from equivcheck.metrics.summarise import summarise
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import find_run
    from equivcheck.records.seal import UNSEALED

    output = Output(as_json=as_json)
    measured = read_bench(bench)
    summary = summarise(measured)
    if summary.missing:
        told = f"INCONCLUSIVE — the measurement is {summary.missing}; no advice is given"
        output.say_lines([told])
        output.document(
            {
                "outcome": "inconclusive",
                "problem": told,
                "exit_code": EXIT_CODES[Outcome.INCONCLUSIVE],
            }
        )
        return EXIT_CODES[Outcome.INCONCLUSIVE]
    evidence = read_evidence(find_run(verdict), scores=False, compact=True) if verdict else None
    routes = advise(
        summary,
        proof_of=proofs_from(evidence, measured),
        policy=Policy(
            enable_at=enable_at,
            disable_at=disable_at,
            least_speedup=least_speedup,
            p99_limit=p99_limit,
            least_goodput=least_goodput,
        ),
        previous=read_routes(Path(previous)) if previous else None,
        arm=arm,
        baseline=baseline,
        point=point,
        price_per_hour=price_per_hour,
    )
    path = Path(out) if out else bench_path(bench).with_name(ROUTES_NAME)
    write_routes(path, routes)
    output.say_lines(lines_of(routes))
    if measured.unsealed or (evidence is not None and evidence.unsealed):
        output.say(f"\n{UNSEALED}")
    output.say(f"\nroutes: {path}")
    output.document(routes)
    return 0


def lines_of(routes: Routes) -> Iterator[str]:
    """The advice in words, the sum of it first."""
    from equivcheck.advise.engine_settings import engine_settings
    from equivcheck.cli.figure_words import number, times
    from equivcheck.core.escape import visible
    from equivcheck.report.layout import columns

    counts = {
        decision: [name for name, each in routes.routes.items() if each.decision == decision]
        for decision in ("enable", "disable", "hold")
    }
    yield " · ".join(f"{name}: {', '.join(of) or 'none'}" for name, of in counts.items())
    yield f"equivalence: {routes.proof.state}: {visible(routes.proof.why)}"
    if routes.picked_among > 1:
        yield (
            f"the fastest of {routes.picked_among} candidates was taken on the prompts that it is "
            f"judged by: measure it alone on others before relying on a narrow win"
        )
    over, load = (first := next(iter(routes.routes.values()))).baseline, first.load
    if load:
        yield f"under load, {visible(load)}: the speedup is that of requests, from when they came"
    yield ""
    rows = [
        (
            each.workload,
            f"{each.decision} ({'on' if each.enabled else 'off'})",
            visible(each.arm),
            times(each.acceptance, unit=""),
            number(each.costs.break_even),
            number(each.costs.c, digits=3),
            number(each.costs.v, digits=3),
            times(each.speedup),
            times(each.p99_ratio),
        )
        for each in routes.routes.values()
    ]
    yield from columns(
        [
            (
                "workload",
                "advice (state)",
                "candidate",
                f"acceptance (policy {routes.policy.enable_at:.2f})",
                "break-even",
                "c",
                "v",
                f"speedup over {over}",
                "p99 ratio",
            ),
            *rows,
        ]
    )
    for each in routes.routes.values():
        yield ""
        yield f"{each.workload}: {each.decision}"
        yield from (f"  {visible(reason)}" for reason in each.reasons)
        yield from _remarks(each)
    for arm in dict.fromkeys(each.arm for each in routes.routes.values()):
        of_arm = [each for each in routes.routes.values() if each.arm == arm]
        if settings := engine_settings(of_arm[0]):
            yield ""
            yield f"settings of {visible(arm)}, for {', '.join(each.workload for each in of_arm)}"
            yield from (f"  {engine}: {visible(line)}" for engine, line in settings.items())


def _remarks(route: Route) -> Iterator[str]:
    if route.more_prompts:
        yield f"  about {route.more_prompts} prompts would settle it; {route.prompts} were measured"
    if route.cost and route.cost.plain is not None and route.cost.speculative is not None:
        yield (
            f"  a million tokens cost {route.cost.plain:.3f} without, "
            f"{route.cost.speculative:.3f} with speculation"
        )
    for setting, value in route.crossovers.items():
        yield f"  stops paying at about {setting} {value:.1f}"
