"""``equivcheck score``: graded answers of two arms, as another tool logged them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option
from equivcheck.core.exit_codes import EXIT_CODES

if TYPE_CHECKING:
    from equivcheck.evaluations.compare import ScoredEvaluation
    from equivcheck.evaluations.metric import Metric

PATH = click.Path(path_type=Path)
HEADER = (
    *("", "task", "metric", "prompts", "a", "b"),
    *("only a", "only b", "b - a", "shows", "because"),
)
WORDS = {"pass": "EQUIVALENT", "fail": "NOT EQUIVALENT", "inconclusive": "INCONCLUSIVE"}


@click.command("score")
@click.option(
    "--a", "plain", type=click.Path(path_type=Path), metavar="PATH", help="Without speculation."
)
@click.option(
    "--b", "speculative", type=click.Path(path_type=Path), metavar="PATH", help="With it."
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Loss of right answers that a pass excludes, as a share of prompts, where texts differ.",
)
@click.option(
    "--plan",
    type=click.IntRange(min=1),
    metavar="N",
    help="Before a run: say which loss N prompts would show. Reads nothing.",
)
@json_option
def command(
    *, plain: Path | None, speculative: Path | None, margin: float, plan: int | None, as_json: bool
) -> int:
    """Compare evaluations without and with speculation, prompt by prompt.

    Each PATH is a log of graded answers, or a folder of them: samples_*.jsonl of
    lm-evaluation-harness (--log_samples), JSON of inspect, reviews of evalscope. Exits 0 the same
    texts, or a loss beyond the margin excluded; 1 other scores than chance gives; 3 neither.
    """
    import msgspec

    from equivcheck.evaluations.compare import compare
    from equivcheck.evaluations.read import read_evaluation

    output = Output(as_json=as_json)
    if plan is not None:
        rows = _planned(plan)
        output.say_lines(_plan_lines(plan, rows))
        output.document({"prompts": plan, "detectable": rows, "exit_code": 0})
        return 0
    if plain is None or speculative is None:
        raise click.UsageError("name both arms, --a PATH and --b PATH, or --plan N")
    scored = compare(a=read_evaluation(plain), b=read_evaluation(speculative), margin=margin)
    output.say_lines(_lines(scored, speculative))
    code = EXIT_CODES[scored.outcome]
    output.document(msgspec.to_builtins(scored) | {"exit_code": code})
    return code


def _planned(prompts: int) -> dict[str, float | None]:
    """Share of prompts that one arm alone gets right, by chance, to the least loss that shows."""
    from equivcheck.checks.budget import ALPHA
    from equivcheck.evaluations.power import detectable_loss

    return {
        f"{share:.0%}": detectable_loss(
            prompts=prompts, differing=round(share * prompts), alpha=ALPHA
        )
        for share in (0.01, 0.02, 0.05, 0.1, 0.2)
    }


def _plan_lines(prompts: int, rows: dict[str, float | None]) -> Iterator[str]:
    yield f"{prompts:,} prompts show, in four of five runs:"
    for share, loss in rows.items():
        told = "no loss at all" if loss is None else f"a loss of {loss:.1%} of all prompts"
        yield f"  {told}, where {share} of prompts are right on one arm only"


def _lines(scored: ScoredEvaluation, speculative: Path) -> Iterator[str]:
    from equivcheck.report.layout import columns

    yield f"{WORDS[scored.outcome.value]} — {_told(scored)}"
    if scored.missing:
        yield f"not compared, on one arm only or asked otherwise: {', '.join(scored.missing)}"
    yield ""
    yield from columns(
        [
            (
                "",
                "task",
                "metric",
                "prompts",
                "a",
                "b",
                "only a",
                "only b",
                "b - a",
                "shows",
                "because",
            ),
            *map(_row, scored.metrics),
        ]
    )
    yield ""
    yield (
        "a: without speculation, b: with it; only: texts differ and this arm is better; "
        "b - a: at 95 %; shows: the least loss found in four of five runs"
    )
    if scored.differing:
        yield f"other texts: {', '.join(scored.differing)}"
        log = speculative if speculative.is_file() else speculative / "LOG"
        yield f"next, token by token: equivcheck suite from {log}"


def _told(scored: ScoredEvaluation) -> str:
    same = f"the same text on {scored.same_text:,} of {scored.with_text:,} answers"
    grave = [metric for metric in scored.metrics if metric.outcome is scored.outcome]
    if scored.outcome.value == "pass" or not grave:
        return same
    first = grave[0]
    return f"{first.task} {first.name}: {first.why}; {same}"


def _row(metric: Metric) -> tuple[str, ...]:
    mark = {"pass": "✓", "fail": "✗", "inconclusive": "?"}[metric.outcome.value]
    interval = metric.interval
    return (
        mark,
        metric.task,
        metric.name,
        f"{metric.prompts:,}",
        "-" if metric.a is None else f"{metric.a:.3f}",
        "-" if metric.b is None else f"{metric.b:.3f}",
        f"{metric.only_a:,}",
        f"{metric.only_b:,}",
        "-" if interval is None else f"[{interval.low:+.3f}, {interval.high:+.3f}]",
        "-" if metric.detectable is None else f"{metric.detectable:.3f}",
        metric.why,
    )
