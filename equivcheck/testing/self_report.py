"""Rules about what an engine says of itself and of its own work."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from equivcheck.checks import counters, logprobs
from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request
from equivcheck.core.refusals import REFUSABLE, TOGETHER
from equivcheck.core.settings import Settings
from equivcheck.testing.trial import Trial, shown

SEEDS = 4
"""Draws from which drafts are taken that should be the same."""


def capabilities(trial: Trial) -> Iterator[str]:
    """They can be stored, stay the same, and promise no speculation that never happens."""
    told = trial.capabilities
    if not told.engine:
        yield "its capabilities name no engine"
    try:
        stored = msgspec.json.decode(msgspec.json.encode(told), type=Capabilities)
    except (TypeError, msgspec.ValidationError) as error:
        yield f"its capabilities cannot be stored: {error}"
        return
    if stored != told:
        yield "its capabilities read back differently from how they were stored"
    if trial.capabilities != told:
        yield "its capabilities change from one look to the next"
    for name in [name for names in told.refuses for name in names.split(TOGETHER)]:
        if name not in REFUSABLE:
            yield f"its capabilities say that it refuses {name!r}, which no request has"
    for name, (least, most) in told.ranges.items():
        if name not in Sampling.__struct_fields__:
            yield f"its capabilities give a range for {name!r}, which no request has"
        elif least > most:
            yield f"its capabilities give {name} a range from {least:g} to {most:g}"


def steps(trial: Trial) -> Iterator[str]:
    """Steps or counts as announced, adding up; drafts where speculation is announced."""
    told = trial.capabilities
    answers = [answer for _, answer in _answers(trial)]
    if not told.reports_steps and any(answer.steps for answer in answers):
        yield "it gives steps, but its capabilities say that it does not report any"
    if not told.reports_counts and any(answer.counts is not None for answer in answers):
        yield "it gives counts, but its capabilities say that it does not report any"
    if not (told.reports_steps or told.reports_counts):
        return
    for answer in answers:
        yield from counters.faults_of(answer, told)
    drafted = sum(answer.drafts_counted.drafted for answer in answers)
    if told.num_speculative_tokens and not drafted:
        yield (
            f"it announces {told.num_speculative_tokens} draft tokens a step and drafted none in "
            f"{len(answers)} answers"
        )


def drafts(trial: Trial) -> Iterator[str]:
    """Drafts that are called certain are named, and the same after the same text."""
    told = trial.capabilities
    if told.drafter != "one-hot" or not told.reports_steps or not told.num_speculative_tokens:
        return
    warm = Sampling(temperature=trial.within("temperature", 1.0)) if told.sampled else Sampling()
    drafted: dict[tuple[int, ...], tuple[int, ...]] = {}
    for seed in range(SEEDS):
        answer = trial.ask(trial.request(sampling=warm, seed=seed, tokens=4 * trial.slots))
        start = 0
        for step in answer.steps:
            before, start = answer.token_ids[:start], start + step.emitted
            if step.drafts is None and step.drafted:
                yield "it calls its drafts certain, but its steps do not name them"
                return
            named = step.drafts or ()
            first = drafted.setdefault(before, named)
            alike = min(len(first), len(named))
            if first[:alike] != named[:alike]:
                yield (
                    f"it calls its drafts certain, but after the same {len(before)} tokens it "
                    f"drafted {shown(first)} and {shown(named)}"
                )
                return


def scores(trial: Trial) -> Iterator[str]:
    """Scores where they are announced, one a token, and none that cannot be."""
    told = trial.capabilities.reports_scores
    for request, answer in _answers(trial):
        if (answer.scores is not None) != told:
            given = "no scores" if answer.scores is None else "scores"
            yield f"its capabilities say reports_scores={told}, but it gives {given}"
            return
        if answer.scores is not None:
            scored = logprobs.ScoredOutput(
                key=answer.key,
                arm="engine",
                scores=answer.scores,
                tokens=answer.token_ids,
                rescored=None,
            )
            yield from logprobs.faults_of(scored, request=request, settings=Settings())
    if told:
        yield from _score_alone(trial)


def _score_alone(trial: Trial) -> Iterator[str]:
    """Ask for each token of an output by itself, with what came before it as the prompt."""
    request, answer = _answers(trial)[0]
    known = {str(dtype): nats for dtype, nats in logprobs.TOLERANCE.items()}
    allowed = known.get(trial.capabilities.dtype, max(known.values()))
    for place in range(1, min(trial.slots, len(answer.token_ids))):
        prompt = (*request.prompt_ids, *answer.token_ids[:place])
        alone = trial.ask(trial.request(prompt, tokens=1))
        if alone.scores is None or answer.scores is None:
            return
        given, again = answer.scores[place].logprob, alone.scores[0].logprob
        if alone.token_ids == answer.token_ids[place : place + 1] and abs(given - again) > allowed:
            yield (
                f"output token {place} has log-probability {given:.4g}, and {again:.4g} where it "
                f"is asked for alone ({allowed:g} allowed)"
            )


def closes(trial: Trial) -> Iterator[str]:
    """Closing raises nothing."""
    trial.engine.close()
    yield from ()


def _answers(trial: Trial) -> list[tuple[Request, Generation]]:
    """A longer greedy answer to each prompt: long enough for drafts."""
    requests = [trial.request(prompt, tokens=4 * trial.slots) for prompt in trial.prompts]
    return [(request, trial.ask(request)) for request in requests]
