"""Gate: reported log-probabilities are those of the emitted tokens, by an independent pass.

The convention is `TokenScore`'s: softmax after penalties, biases and bans, before temperature and
truncation, so sampled and greedy cases are held to the same numbers. Scores are also held to each
other: no log-probability above 0, no two tokens of more than all the mass, and a greedy token never
below its rival.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from equivcheck.checks.near_ties import OWN_SCORE_SLACK
from equivcheck.checks.subjects import plural, repeat_command
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Request, TokenScore
from equivcheck.core.settings import Dtype, Settings
from equivcheck.records.records import Evidence, Rescored, by_workload

TOLERANCE: dict[Dtype, float] = {"float32": 2e-3, "float16": 0.0625, "bfloat16": 0.5}
"""Nats that one token may be off. Half precision: 4 ulp at logits in [16, 32). fp32 is bounded by
the order of summation, not by its ulp: 1000 ulp there, far below any change that matters."""
MEAN_SHARE = 0.2
"""Share of the tolerance: what the mean of the absolute differences may reach over `MEAN_FROM`
tokens. Rounding is rarely near its bound; a shifted row or a wrong transform is off everywhere."""
MEAN_FROM = 16


class ScoredOutput(NamedTuple):
    """One arm's scores of one output."""

    key: str
    arm: str
    scores: tuple[TokenScore, ...]
    tokens: tuple[int, ...]
    rescored: Rescored | None


def tolerance(settings: Settings) -> float:
    """Nats: the setting, else by the compute dtype."""
    return settings.logprob_tolerance or TOLERANCE[settings.setup.dtype]


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each output with a wrong score, then one a workload."""
    outputs = list(_scored(evidence))
    findings: list[Finding] = []
    for output in outputs:
        request = evidence.asked[output.key].request
        if faults := list(faults_of(output, request=request, settings=evidence.header.settings)):
            findings.append(
                Finding(
                    check="logprobs",
                    subject=output.key,
                    outcome=Outcome.FAIL,
                    reason=Reason.LOGPROBS,
                    headline=f"{output.arm}: {faults[0]}",
                    details=tuple(faults[:5]) if len(faults) > 1 else (),
                    repeat=repeat_command(evidence, output.key),
                    limit=tolerance(evidence.header.settings),
                    n=len(output.tokens),
                )
            )
    bad = {finding.subject for finding in findings}
    gathered = by_workload(evidence, outputs, key=lambda output: output.key)
    for workload, found in gathered.items():
        findings.append(_summary(evidence, workload, found, bad=bad))
    return findings


def faults_of(output: ScoredOutput, *, request: Request, settings: Settings) -> Iterator[str]:
    """Everything that is wrong with one output's scores, gravest first."""
    if len(output.scores) != len(output.tokens):
        yield f"{plural(len(output.scores), 'score')} for {plural(len(output.tokens), 'token')}"
        return
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.checks.columns import all_zero, scores_agree, scores_follow

    if output.rescored is not None:
        allowed = tolerance(settings)
        logprobs, mean = output.rescored.logprobs, MEAN_SHARE * allowed
        if not scores_follow(output.scores, logprobs, allowed=allowed, mean=mean):
            yield from _against_reference(output, output.rescored, allowed=allowed)
    elif (
        len(output.scores) >= MEAN_FROM
        and all_zero(output.scores)
        and all(score.logprob == 0.0 for score in output.scores)
    ):
        yield f"log-probability 0.0 for all {len(output.scores)} tokens"
    greedy = request.sampling.greedy
    if scores_agree(output.scores, output.tokens, slack=OWN_SCORE_SLACK, greedy=greedy):
        return
    for index, (score, token) in enumerate(zip(output.scores, output.tokens, strict=True)):
        yield from inconsistent(score, token, at=index, greedy=request.sampling.greedy)


def _against_reference(
    output: ScoredOutput, rescored: Rescored, *, allowed: float
) -> Iterator[str]:
    if len(rescored.logprobs) != len(output.scores):
        yield (
            f"{plural(len(rescored.logprobs), 'reference score')} for "
            f"{plural(len(output.scores), 'token')}"
        )
        return
    off = [
        abs(score.logprob - reference)
        for score, reference in zip(output.scores, rescored.logprobs, strict=True)
    ]
    if not off:
        return
    if max(off) > allowed:
        index = off.index(max(off))
        yield (
            f"token {index} has log-probability {output.scores[index].logprob:.4g}, "
            f"{rescored.reference} says {rescored.logprobs[index]:.4g} ({allowed:g} allowed)"
        )
    mean = math.fsum(off) / len(off)
    if len(off) >= MEAN_FROM and mean > MEAN_SHARE * allowed:
        yield (
            f"log-probabilities are off by {mean:.3g} nats on average over {len(off)} tokens "
            f"({MEAN_SHARE * allowed:.3g} allowed)"
        )


def inconsistent(score: TokenScore, token: int, *, at: int, greedy: bool) -> Iterator[str]:
    """What a token's score contradicts by itself."""
    mass = math.exp(score.logprob) + math.exp(score.rival_logprob) if _sane(score) else math.inf
    if score.rival == token:
        yield f"token {at} is its own rival"
    elif mass > 1 + OWN_SCORE_SLACK:
        yield (
            f"token {at} and its rival have log-probabilities {score.logprob:.4g} and "
            f"{score.rival_logprob:.4g}: more than all the mass"
        )
    elif greedy and score.logprob < score.rival_logprob - OWN_SCORE_SLACK:
        below = score.rival_logprob - score.logprob
        yield f"greedy token {at} lies {below:.3g} nats below its rival"


def _sane(score: TokenScore) -> bool:
    """Whether both can be exponentiated: far above 0 they are no log-probabilities."""
    return score.logprob < 1 and score.rival_logprob < 1


def _scored(evidence: Evidence) -> Iterator[ScoredOutput]:
    rescored = {(found.key, found.arm): found for found in evidence.rescored}
    for arm, captured in evidence.captured.items():
        for key in evidence.asked:
            generation = captured[key].generation if key in captured else None
            if generation and generation.scores is not None:
                reference = rescored.get((key, arm))
                yield ScoredOutput(key, arm, generation.scores, generation.token_ids, reference)


def _summary(
    evidence: Evidence, workload: str, outputs: list[ScoredOutput], *, bad: set[str]
) -> Finding:
    held = [output for output in outputs if output.rescored]
    tokens = sum(len(output.tokens) for output in held)
    broken = len({output.key for output in outputs} & bad)
    if broken:
        words = f"wrong on {plural(broken, 'case')}"
    elif held:
        outputs_held = plural(len(held), "output")
        words = f"hold on {plural(tokens, 'token')} of {outputs_held}, by an independent pass"
    else:
        words = "consistent with each other; none was held against an independent pass"
    return Finding(
        check="logprobs",
        subject=workload,
        outcome=Outcome.FAIL if broken else Outcome.PASS,
        reason=Reason.LOGPROBS if broken else Reason.HELD,
        headline=f"log-probabilities {words}",
        limit=tolerance(evidence.header.settings),
        n=tokens,
    )
