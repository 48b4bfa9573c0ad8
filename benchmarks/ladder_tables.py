"""The ladder's records as tables: who is how fast over whom, and whose tokens stay plain's. Pure.

A ratio is the geometric mean over prompts of times a token, with the interval of `equivcheck
bench`. Every engine drafts as its best arm does, best by the rung's own times over all prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from equivcheck.cli.figure_words import number, times
from equivcheck.engines.naming import EngineSpec
from equivcheck.metrics.answers import Arranged, arrange, token_ids
from equivcheck.metrics.costs import Costs
from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.records import STOCK, TARGET, Bench
from equivcheck.metrics.speculation import ratio
from equivcheck.metrics.summarise import compare, faster, spans_of, tax
from equivcheck.metrics.summary import OVERALL

NATIVE, TRANSFORMERS, FLASHSPEC = "native", "transformers", "flashspec"
MISSING = {FLASHSPEC: "not installed"}
"""What is said of an engine that was not measured; of any other, that it is not available."""
COLUMNS = (
    "prompts",
    "drafting",
    "acceptance",
    "tokens/step",
    "c",
    "identity tax",
    "over own one-token plain",
    "over own padded plain",
    "over transformers plain",
    "over transformers drafting",
    "over flashspec",
)


class Family(NamedTuple):
    """The arms of one engine."""

    plain: str
    drafting: tuple[str, ...]


class Rung(NamedTuple):
    """One measurement, arranged for asking."""

    bench: Bench
    arranged: Arranged
    families: dict[str, Family]
    best: dict[str, str]
    """Engine to its fastest drafting arm, over all prompts."""

    @property
    def title(self) -> str:
        """``tiny@15m, float32``."""
        setup = self.bench.header.settings.setup
        return f"{setup.pair}, {setup.dtype}"

    @property
    def everything(self) -> tuple[str, ...]:
        """All workloads."""
        return tuple(self.bench.header.prompts)

    def plain_of(self, arm: str) -> str:
        """The plain arm that an arm's tokens are held to."""
        name = EngineSpec.parse(self.bench.arms[arm].spec).name
        return self.families[name].plain

    def differing(self, arm: str, *, workloads: Sequence[str]) -> set[str]:
        """Keys on which an arm's tokens are not those of its own plain arm."""
        ours, plain = (
            token_ids(self.arranged.of(point=0, arm=name, workloads=workloads).measured)
            for name in (arm, self.plain_of(arm))
        )
        return {key for key in ours if key in plain and ours[key] != plain[key]}

    def over(self, arm: str, *, other: str, workloads: Sequence[str]) -> Estimate:
        """How many times as fast an arm is, tokens not looked at."""
        ours, theirs = (
            self.arranged.of(point=0, arm=name, workloads=workloads) for name in (arm, other)
        )
        found = faster(ours, theirs)
        return found.geometric_mean if found else Estimate()

    def compared(self, arm: str, *, other: str, workloads: Sequence[str]) -> str:
        """The ratio, and where it is one of times alone, that it is.

        A plain arm's tokens are what they are; those of a drafting arm have to be its plain arm's.
        """
        differing = self.differing(arm, workloads=workloads)
        if other not in (STOCK, self.plain_of(other)):
            differing |= self.differing(other, workloads=workloads)
        text = times(self.over(arm, other=other, workloads=workloads))
        if not differing:
            return text
        asked = self.arranged.of(point=0, arm=arm, workloads=workloads).first
        return f"{text} by time alone, tokens differ on {len(differing)} of {len(asked)}"


def rung_of(bench: Bench) -> Rung:
    """Sort a measurement's arms by engine, and find each engine's fastest."""
    arms: dict[str, list[str]] = {}
    plain: dict[str, str] = {NATIVE: TARGET}
    for arm in bench.arms.values():
        spec = EngineSpec.parse(arm.spec)
        if arm.role == "other" and spec.options.get("mode", "plain") == "plain":
            plain[spec.name] = arm.name
        elif arm.role in ("candidate", "other"):
            arms.setdefault(spec.name, []).append(arm.name)
    families = {name: Family(plain[name], tuple(found)) for name, found in arms.items()}
    rung = Rung(bench, arrange(bench), families, {})
    for name, family in families.items():
        speeds = {
            arm: rung.over(arm, other=family.plain, workloads=rung.everything).value
            for arm in family.drafting
        }
        known = {arm: speed for arm, speed in speeds.items() if speed is not None}
        if known:
            rung.best[name] = max(known, key=known.__getitem__)
    return rung


def tables(benches: Sequence[Bench]) -> str:
    """The whole page, as Markdown."""
    rungs = [rung for bench in benches if NATIVE in (rung := rung_of(bench)).best]
    lines = [
        "# The ladder: speculation as the target grows",
        "",
        "Written by `python -m benchmarks.ladder`. Ratios above 1: the native speculative decoder",
        "is faster; geometric means over prompts with 95 % intervals. Every engine drafts as its",
        "fastest arm of the rung does, chosen by the same times. c is a draft token's cost in",
        "padded plain steps. All arms of a rung answered the same prompts in turn.",
        "",
    ]
    if not rungs:
        return "\n".join([*lines, "Nothing is measured yet."])
    lines += ["## All rungs", ""]
    lines += table(
        ("rung", *COLUMNS),
        [(rung.title, *row(rung, OVERALL, rung.everything)) for rung in rungs],
    )
    lines += ["", "Prompts on which an arm's tokens are its own plain arm's:", ""]
    lines += table(
        ("rung", "native", "native, one token wide", "transformers drafting", "flashspec"),
        [(rung.title, *identities(rung)) for rung in rungs],
    )
    for rung in rungs:
        lines += ["", f"## {rung.title}", "", provenance(rung), ""]
        spans = spans_of(rung.bench)
        lines += table(
            ("workload", *COLUMNS),
            [(name, *row(rung, name, workloads)) for name, workloads in spans],
        )
        lines += ["", *table(ARM, [arm_row(rung, arm) for arm in rung.bench.arms])]
    return "\n".join([*lines, ""])


def row(rung: Rung, workload: str, workloads: Sequence[str]) -> tuple[str, ...]:
    """The native decoder against all others over some workloads."""
    arm = rung.best[NATIVE]
    found = compare(
        rung.bench, rung.arranged, point=0, arm=arm, workload=workload, workloads=workloads
    )
    if found is None:
        return ("0", *("n/a" for _ in COLUMNS[1:]))
    taxed = tax(rung.arranged, point=0, workload=workload, workloads=workloads)
    baselines = {
        STOCK: STOCK,
        TARGET: TARGET,
        "transformers plain": rung.families[TRANSFORMERS].plain
        if TRANSFORMERS in rung.families
        else None,
        TRANSFORMERS: rung.best.get(TRANSFORMERS),
        FLASHSPEC: rung.best.get(FLASHSPEC),
    }
    return (
        str(found.prompts),
        arm,
        times(found.speculation.draft_acceptance_rate, unit=""),
        number(found.speculation.tokens_per_step),
        number(found.costs.get(TARGET, Costs()).c, digits=3),
        times(taxed.identity_tax) if taxed else "n/a",
        *(
            rung.compared(arm, other=other, workloads=workloads)
            if other in rung.bench.arms
            else MISSING.get(name, "n/a")
            for name, other in baselines.items()
        ),
    )


def identities(rung: Rung) -> Iterator[str]:
    """Prompts with plain's tokens: native, stock, transformers drafting, flashspec."""
    for engine, arm in (
        (NATIVE, rung.best[NATIVE]),
        (STOCK, STOCK),
        (TRANSFORMERS, rung.best.get(TRANSFORMERS)),
        (FLASHSPEC, rung.best.get(FLASHSPEC)),
    ):
        yield identity(rung, arm) if arm in rung.bench.arms else MISSING.get(engine, "n/a")


def identity(rung: Rung, arm: str) -> str:
    """``39/40``."""
    asked = rung.arranged.of(point=0, arm=arm, workloads=rung.everything).first
    differing = rung.differing(arm, workloads=rung.everything)
    return f"{len(asked) - len(differing)}/{len(asked)}"


ARM = ("arm", "tokens/s", "over its own plain arm", "tokens of its plain arm")


def arm_row(rung: Rung, arm: str) -> tuple[str, ...]:
    """One arm by itself."""
    answers = rung.arranged.of(point=0, arm=arm, workloads=rung.everything)
    chunks = answers.chunks.values()
    speed = ratio(sum(each.tokens for each in chunks), of=sum(each.seconds for each in chunks))
    plain = rung.plain_of(arm)
    if arm == plain:
        return (arm, number(speed, digits=1), "is plain", "is plain")
    return (
        arm,
        number(speed, digits=1),
        rung.compared(arm, other=plain, workloads=rung.everything),
        identity(rung, arm),
    )


def provenance(rung: Rung) -> str:
    """When, where and with what a rung was measured."""
    header = rung.bench.header
    versions: dict[str, str] = {}
    for probe in rung.bench.probed:
        versions |= probe.capabilities.versions
    told = [
        header.created,
        f"commit {header.git_commit[:7]}{'*' if header.git_dirty else ''}"
        if header.git_commit
        else "",
        *(f"{name} {header.environment.get(name, '')}".strip() for name in ("cpu", "threads")),
        *(f"{name} {version}" for name, version in sorted(versions.items())),
        f"{header.settings.tokens} tokens a prompt",
        "" if rung.bench.expected <= rung.bench.asked else "UNFINISHED",
    ]
    return " · ".join(part for part in told if part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
