"""``equivcheck baseline``: save a run for later ones to be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option, note

if TYPE_CHECKING:
    from equivcheck.records.baseline_record import Baseline

UNUSABLE = 3
name_option = click.option(
    "--name", default="main", metavar="NAME", help="What the baseline is called. [main]"
)
bench_option = click.option(
    "--bench", metavar="FOLDER", help="Keep this measurement's figures with it."
)
force_option = click.option(
    "--force", "forced", metavar="REASON", help="Save a run that did not pass; the reason is kept."
)


@click.group("baseline")
def command() -> None:
    """Save runs as small files to commit, list, show and accept them.

    They lie in .equivcheck/baselines. Nothing is fetched or sent. Each verb takes --json.
    """


@command.command("save")
@click.argument("run", default="reports/latest")
@name_option
@bench_option
@force_option
@json_option
def save(*, run: str, name: str, bench: str | None, forced: str | None, as_json: bool) -> int:
    """Save RUN (default: reports/latest) under a name that is not taken yet."""
    from equivcheck.baselines.store import path_of
    from equivcheck.core.errors import EquivcheckError

    path = path_of(name)
    if path.exists():
        raise EquivcheckError(
            f"{path}: already there; equivcheck baseline accept {run} --name {name} replaces it"
        )
    return _store(run, name=name, bench=bench, forced=forced, output=Output(as_json=as_json))


@command.command("accept")
@click.argument("run")
@name_option
@bench_option
@force_option
@json_option
def accept(*, run: str, name: str, bench: str | None, forced: str | None, as_json: bool) -> int:
    """Take RUN as the baseline from now on, in place of the one before, which becomes history."""
    from equivcheck.baselines.store import BaselineError, read_baseline

    try:
        read_baseline(name)
    except BaselineError as error:
        note(f"without history: {error}")
    return _store(run, name=name, bench=bench, forced=forced, output=Output(as_json=as_json))


@command.command("list")
@json_option
def list_(*, as_json: bool) -> int:
    """List what is saved; exits 3 where something of it cannot be used."""
    from equivcheck.baselines.store import BaselineError, names, read_baseline
    from equivcheck.core.escape import head
    from equivcheck.report.layout import columns

    output = Output(as_json=as_json)
    rows: list[tuple[str, ...]] = []
    found: dict[str, object] = {}
    broken = False
    for name in names():
        try:
            baseline = read_baseline(name)
        except BaselineError as error:
            broken = True
            rows.append((head(name, cells=40), head(str(error), cells=80)))
            found[name] = {"problem": str(error), "state": error.state, "fix": error.fix}
        else:
            told = f"{baseline.created} · {len(baseline.cases)} cases · {baseline.headline}"
            rows.append((head(name, cells=40), head(told, cells=100)))
            found[name] = _short(baseline)
    output.say("\n".join(columns(rows, last_cells=100)) if rows else "no baseline is saved")
    output.document(found)
    return UNUSABLE if broken else 0


@command.command("show")
@click.argument("name", default="main")
@json_option
def show(*, name: str, as_json: bool) -> int:
    """Show one baseline; exits 3 where it is missing or cannot be used."""
    import msgspec

    from equivcheck.baselines.store import BaselineError, read_baseline
    from equivcheck.compare.render import shown_lines

    output = Output(as_json=as_json)
    try:
        baseline = read_baseline(name)
    except BaselineError as error:
        return _unusable(error, output)
    output.say_lines(shown_lines(baseline))
    output.document(msgspec.to_builtins(baseline))
    return 0


@command.command("trend")
@click.argument("name", default="main")
@click.argument("runs", nargs=-1)
@json_option
def trend(*, name: str, runs: tuple[str, ...], as_json: bool) -> int:
    """Show acceptance over the history of a baseline, then RUNS, and where it stepped.

    Exits 0: a trend is told, not gated on.
    """
    import msgspec

    from equivcheck.baselines.store import BaselineError, read_baseline
    from equivcheck.baselines.trend import trends_of
    from equivcheck.compare.named import taken
    from equivcheck.compare.render import trend_lines

    output = Output(as_json=as_json)
    try:
        baseline = read_baseline(name)
    except BaselineError as error:
        return _unusable(error, output)
    found = trends_of(baseline, [taken(run) for run in runs])
    output.say_lines(trend_lines(found))
    output.document(msgspec.to_builtins(found))
    return 0


def _store(
    run: str,
    *,
    name: str,
    bench: str | None,
    forced: str | None,
    output: Output,
) -> int:
    from equivcheck.baselines.store import path_of, write_baseline
    from equivcheck.compare.named import renamed, taken

    path = path_of(name)
    baseline = write_baseline(renamed(taken(run, bench=bench), name, forced=forced), path)
    output.say(
        f"saved {path}: {len(baseline.cases)} cases, {len(baseline.history)} earlier states\n"
        f"commit it, then: equivcheck compare {name} reports/latest"
    )
    output.document(_short(baseline) | {"path": str(path)})
    return 0


def _short(baseline: Baseline) -> dict[str, object]:
    return {
        "name": baseline.name,
        "run": baseline.run,
        "created": baseline.created,
        "verdict": baseline.verdict.value,
        "forced": baseline.forced,
        "cases": len(baseline.cases),
        "history": len(baseline.history),
    }


def _unusable(error: Exception, output: Output) -> int:
    from equivcheck.baselines.store import BaselineError

    assert isinstance(error, BaselineError)
    output.say(f"NO BASELINE — {error}\n{error.fix}")
    output.document({"problem": str(error), "state": error.state, "fix": error.fix})
    return UNUSABLE
