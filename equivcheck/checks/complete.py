"""Gate: every arm answered every case it had to. What is missing was not compared.

An interrupted run ends here: unfinished, never a pass. Draws count too: where an engine failed to
give some, those that it gave are a selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.divergence import texts_alone
from equivcheck.records.records import CANDIDATE, DRAWING, TARGET, Evidence, LeftOut

SHOWN = 5
"""Missing keys named per arm."""


def check(evidence: Evidence) -> list[Finding]:
    """One finding an arm that lacks answers, and one for the run."""
    planned = {arm: keys for arm, keys in evidence.header.planned.items() if arm not in DRAWING}
    findings = [
        *(
            _missing(evidence, arm, missing, planned=len(keys))
            for arm, keys in planned.items()
            if (missing := _unanswered(evidence, arm))
        ),
        *_failed_draws(evidence),
    ]
    compared = [
        key
        for key in evidence.captured.get(CANDIDATE, {})
        if key in evidence.captured.get(TARGET, {})
    ]
    if not compared:
        findings.append(
            Finding(
                check="complete",
                subject=RUN,
                outcome=Outcome.INCONCLUSIVE,
                reason=Reason.NOTHING_COMPARED,
                headline=f"nothing was compared: no case was answered by {TARGET} and {CANDIDATE}",
            )
        )
    if not findings:
        answers = sum(len(keys) for keys in planned.values())
        findings.append(
            Finding(
                check="complete",
                subject=RUN,
                outcome=Outcome.PASS,
                reason=Reason.HELD,
                headline=f"all {plural(answers, 'answer')} of {plural(len(planned), 'arm')} are in",
                n=answers,
            )
        )
    return [*findings, *_one_shard(evidence), *_left_out(evidence), *_text_alone(evidence)]


def _one_shard(evidence: Evidence) -> Iterator[Finding]:
    """A part of a run: the cases of the others were not looked at."""
    if shard := evidence.header.shard:
        yield Finding(
            check="complete",
            subject=RUN,
            outcome=Outcome.INCONCLUSIVE,
            reason=Reason.MISSING,
            headline=f"shard {shard.index} of {shard.of}: {len(shard.cases):,} of "
            f"{plural(len(shard.keys), 'case')}; `equivcheck merge` of all shards has the verdict",
        )


def _unanswered(evidence: Evidence, arm: str) -> list[str]:
    """What an arm had to answer and has not, whichever history its turns had."""
    answered = evidence.answers(arm)
    return [key for key in evidence.header.planned[arm] if key not in answered]


def _left_out(evidence: Evidence) -> Iterator[Finding]:
    """Cases that no arm was asked, since an engine refuses what they need: no doubt on the rest."""
    if words := left_out_words(evidence.header.left_out, asked=len(evidence.asked)):
        by_need: dict[str, list[str]] = {}
        for each in evidence.header.left_out:
            need = f"{_joined(each.needs, 'and')} ({visible(each.engine)})"
            by_need.setdefault(need, []).append(visible(each.key))
        yield Finding(
            check="complete",
            subject=RUN,
            outcome=Outcome.PASS,
            reason=Reason.LEFT_OUT,
            headline=f"the verdict rests {words}",
            details=tuple(f"{need}: {', '.join(keys)}" for need, keys in by_need.items()),
            n=len(evidence.header.left_out),
        )


def _text_alone(evidence: Evidence) -> Iterator[Finding]:
    """What nobody can judge without token ids: no doubt on what is said of the text."""
    if texts_alone(evidence):
        yield Finding(
            check="complete",
            subject=RUN,
            outcome=Outcome.PASS,
            reason=Reason.LEFT_OUT,
            headline="the verdict is about text: no engine gave token ids",
            details=(
                "equal texts may have been made of different tokens",
                "not judged: limits on tokens, ends of text, stop ids, reasons for ending, whether "
                "counts of drafts fit the tokens, log-probabilities",
            ),
            n=len(evidence.asked),
        )


def left_out_words(left_out: Sequence[LeftOut], *, asked: int) -> str:
    """``on 170 of 178 cases; 8 need min_p or logit_bias, which vllm refuses``; empty: on all."""
    if not left_out:
        return ""
    by_engine: dict[str, list[LeftOut]] = {}
    for each in left_out:
        by_engine.setdefault(each.engine, []).append(each)
    clauses = [f"on {asked:,} of {plural(asked + len(left_out), 'case')}"]
    for engine, cases in by_engine.items():
        needs = list(dict.fromkeys(need for case in cases for need in case.needs))
        shown = [*needs[:SHOWN], *(["more"] if len(needs) > SHOWN else [])]
        verb = "needs" if len(cases) == 1 else "need"
        clauses.append(
            f"{len(cases)} {verb} {_joined(shown, 'or')}, which {visible(engine)} refuses"
        )
    return "; ".join(clauses)


def why_left_out(evidence: Evidence, key: str) -> str | None:
    """What a case needs and an engine refuses; None: it was asked."""
    for each in evidence.header.left_out:
        if each.key == key:
            return f"it needs {_joined(each.needs, 'and')}, which {visible(each.engine)} refuses"
    return None


def _joined(names: Sequence[str], word: str) -> str:
    *first, last = map(visible, names)
    return f"{', '.join(first)} {word} {last}" if first else last


def _failed_draws(evidence: Evidence) -> Iterator[Finding]:
    """One finding an arm whose engine broke on draws and did not give them later."""
    for arm in sorted(DRAWING & evidence.header.planned.keys()):
        drawn = evidence.draws.get(arm, {})
        failed = {each.key: each.message for each in evidence.failures if each.arm == arm}
        lost = [
            f"{visible(key)}: {visible(why)}" for key, why in failed.items() if key not in drawn
        ]
        if lost:
            yield Finding(
                check="complete",
                subject=RUN,
                outcome=Outcome.INCONCLUSIVE,
                reason=Reason.MISSING,
                headline=f"{arm} failed on {len(lost)} of {plural(len(lost) + len(drawn), 'draw')}",
                details=tuple(lost[:SHOWN]),
                n=len(drawn),
            )


def _missing(evidence: Evidence, arm: str, missing: list[str], *, planned: int) -> Finding:
    failures = {each.key: each.message for each in evidence.failures if each.arm == arm}
    why = [f"{visible(key)}: {visible(failures[key])}" for key in missing if key in failures]
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return Finding(
        check="complete",
        subject=RUN,
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.MISSING,
        headline=f"{arm} answered {planned - len(missing)} of {plural(planned, 'case')}",
        details=(f"missing: {', '.join(map(visible, missing[:SHOWN]))}{more}", *why[:SHOWN]),
        n=planned - len(missing),
    )
