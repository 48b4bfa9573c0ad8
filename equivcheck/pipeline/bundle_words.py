"""A bundle's README.md, in the words of a bug report: what differs, where, how often, what else."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.checks.subjects import plural
from equivcheck.core.escape import clip, head, visible
from equivcheck.core.findings import Finding
from equivcheck.engines.naming import EngineSpec
from equivcheck.pipeline.bundle_event import ORDER_WORDS, BundleEvent, share_of
from equivcheck.pipeline.bundle_subject import Subject
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SAMPLED,
    SHUFFLED,
    TARGET,
    Evidence,
)

MOST_OTHERS = 12
_CELLS = 300
_COMPANIONS = {
    CONTROL: "plain decoding of the target at another width",
    REPEAT: "the candidate again, a new engine, the same batch",
    SHUFFLED: "the candidate among other requests, in another order",
}


def readme(
    evidence: Evidence, subject: Subject, event: BundleEvent | None, *, redacted: bool
) -> str:
    """The whole page. Redacted, it holds no text and no token of a prompt or an answer."""
    parts = [
        f"# {_title(evidence, subject)}",
        *_what(evidence, subject, event, redacted=redacted),
        *_often(subject, redacted=redacted),
        *_ruled_out(evidence, subject),
        *_where(evidence, subject),
        *_servers(evidence),
        *_repeat(subject, redacted=redacted),
    ]
    return "\n\n".join(parts) + "\n"


def _title(evidence: Evidence, subject: Subject) -> str:
    arms = evidence.header.arms
    engine = _plain(arms[SAMPLED if subject.kind == "draws" else CANDIDATE].engine)
    return {
        "tokens": f"{engine} answers with other tokens than plain decoding",
        "again": f"{engine} answers the same request differently",
        "rules": f"{engine} breaks a rule of length or stopping",
        "draws": f"{engine} samples from another distribution than the target's",
    }[subject.kind]


def _what(
    evidence: Evidence, subject: Subject, event: BundleEvent | None, *, redacted: bool
) -> Iterator[str]:
    yield "## What differs"
    finding = subject.finding
    if redacted:
        yield f"Check `{finding.check}` ({finding.reason}) on `{visible(finding.subject)}`."
    else:
        lines = (finding.headline, *finding.details)
        yield "\n".join(f"    {clip(line, cells=_CELLS)}" for line in lines)
    if event is not None:
        where = f"{'above' if event.above else 'below'} {event.border}"
        yield (
            f"Of {event.of:,} stored tokens, {event.seen:,} lie {where} in the target's own "
            f"distribution, tokens ordered by {ORDER_WORDS[event.order]}; right is a share of "
            f"{share_of(event):.3g}. `repeat.py` draws {event.tokens:,} fresh tokens and counts "
            f"them again. A bug that is gone is called there at most once in a million times, and "
            f"one as large as here is missed once in a hundred. The target's distribution is that "
            f"of transformers' own forward pass."
        )
    elif len(subject.batch) > 1:
        yield (
            f"The case `{subject.key}` was asked in a batch of {len(subject.batch)}; "
            f"`bundle.json` has them in their order."
        )


def _often(subject: Subject, *, redacted: bool) -> Iterator[str]:
    yield "## How often"
    same = [each for each in subject.findings if each.check == subject.finding.check]
    other = [each for each in subject.findings if each.check != subject.finding.check]
    yield f"{plural(len(same), 'finding')} of this check did not pass, {len(other)} of others."
    shown = sorted(same, key=lambda each: "/" in each.subject) + other
    yield "\n".join(_line(each, redacted=redacted) for each in shown[:MOST_OTHERS])


def _line(finding: Finding, *, redacted: bool) -> str:
    # A case's headline names tokens of its answer; a workload's counts.
    words = finding.reason if redacted and "/" in finding.subject else finding.headline
    words = clip(words, cells=_CELLS)
    return f"- `{finding.check}` on `{visible(finding.subject)}`: {finding.outcome}, {words}"


def _ruled_out(evidence: Evidence, subject: Subject) -> Iterator[str]:
    yield "## What was ruled out"
    lines = []
    captured, key = evidence.captured, subject.key
    if subject.kind != "draws":
        first = {TARGET: TARGET, CONTROL: TARGET}
        for arm, what in _COMPANIONS.items():
            base = first.get(arm, CANDIDATE)
            one, other = (captured.get(each, {}).get(key) for each in (arm, base))
            if one is not None and other is not None:
                same = one.generation.token_ids == other.generation.token_ids
                against = "the target's answer" if base == TARGET else "the candidate's answer"
                lines.append(f"- {what}: {'the same as' if same else 'other than'} {against}")
        for each in evidence.arbitrations:
            if (each.key, each.arm) == (key, CANDIDATE) and None not in (
                each.target_logprob,
                each.arm_logprob,
            ):
                apart = (each.target_logprob or 0.0) - (each.arm_logprob or 0.0)
                lines.append(
                    f"- a near tie: by {each.reference} the two tokens at output token "
                    f"{each.position} lie {apart:.3g} nats apart, the target's first"
                )
    else:
        lines.append(
            "- chance: the stored tokens refute the target's distribution at the run's error rate"
        )
    yield "\n".join(lines or ["Nothing beyond the evidence above."])


def _where(evidence: Evidence, subject: Subject) -> Iterator[str]:
    yield "## Where"
    header, setup = evidence.header, evidence.header.settings.setup
    facts = {
        "candidate": header.arms[CANDIDATE].engine,
        "target": header.arms[TARGET].engine,
        "models": ", ".join(f"{role} {what}" for role, what in header.models.items()),
        "arithmetic": f"{setup.dtype} on {header.arms[CANDIDATE].device}",
        "batch": str(len(subject.batch)),
        "run": f"{header.run}, {header.created}, commit {header.git_commit or 'not known'}",
        **header.arms[CANDIDATE].versions,
        **header.environment,
    }
    yield "\n".join(f"- {name}: {_plain(value)}" for name, value in facts.items() if value)


def _servers(evidence: Evidence) -> Iterator[str]:
    """How the servers were started, as far as the run started them."""
    settings = evidence.header.settings
    arms = settings.candidate, settings.target
    names = dict.fromkeys(EngineSpec.parse(text).name for text in arms)
    tables = [settings.engine[name] for name in names if name in settings.engine]
    commands = [
        "    " + visible(" ".join([*(f"{key}={value}" for key, value in table.env.items()), start]))
        for table in tables
        if (start := table.start) is not None
    ]
    if commands:
        yield "## Start the servers"
        yield "\n".join(commands)
        yield "That of the target is not needed with `--target recorded`."


def _repeat(subject: Subject, *, redacted: bool) -> Iterator[str]:
    yield "## Repeat it"
    yield "    python repeat.py" + (" --records records.jsonl" if redacted else "")
    yield (
        "It exits with 1 while the bug is there, with 0 when it is gone, with 2 if it cannot run. "
        "`--model PATH` and `--draft PATH` say where the models are, `--candidate` and `--target` "
        "name other engines or addresses, and `--target recorded` stands for what the target "
        "answered then. Servers are asked by HTTP, which takes Python alone."
    )
    if redacted:
        yield (
            "Prompts and answers were left out. `--records` names the file of the run that holds "
            "them; each prompt is checked against its digest."
        )
    yield "`bundle.json` has requests, seeds and settings, `evidence.json` what was recorded."


def _plain(text: str) -> str:
    return head(visible(text), cells=_CELLS)
