"""Packed answers read as they were, and whole columns never call sound what a check refuses."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from equivcheck.checks import columns, counters, logprobs, stopping
from equivcheck.checks.near_ties import OWN_SCORE_SLACK
from equivcheck.core.bounds import RequestLimits, out_of_bounds
from equivcheck.core.cases import Sampling
from equivcheck.core.columns import logprobs_of, number_same, seconds_of, step_counts
from equivcheck.core.generation import Generation, Step, TokenScore
from equivcheck.core.packed import packed, unpacked
from equivcheck.core.packed_bounds import within_bounds
from equivcheck.core.settings import Settings
from tests.unit.make import make_capabilities, make_captured, make_header, make_request

VOCABULARY = 50
MOST = 12


def answer_of(seed: int) -> Generation:
    """An answer as a sound engine of four drafts gives it; some tell less of their steps."""
    dice = random.Random(seed)
    ids = [dice.randrange(2, VOCABULARY) for _ in range(MOST)]
    tells_drafts, tells_times, plain = (dice.random() < share for share in (0.7, 0.7, 0.2))
    steps, at = [], 0
    while at < MOST:
        drafted = 0 if plain else min(dice.randrange(5), MOST - at - 1)
        accepted = dice.randint(0, drafted)
        wrong = [1] * (drafted - accepted)
        steps.append(
            Step(
                drafted=drafted,
                accepted=accepted,
                emitted=accepted + 1,
                seconds=dice.random() if tells_times and dice.random() < 0.9 else None,
                rejected=1 if wrong and dice.random() < 0.5 else None,
                drafts=(*ids[at : at + accepted], *wrong) if tells_drafts else None,
                draft_logprobs=tuple(-dice.random() for _ in range(accepted)) if plain else None,
                residual_log_weight=-dice.random() if wrong and dice.random() < 0.5 else None,
            )
        )
        at += accepted + 1
    scores = [
        TokenScore(logprob=-1 - dice.random(), rival=1, rival_logprob=-3.0) for _ in range(MOST)
    ]
    return Generation(
        key="code/one",
        token_ids=tuple(ids),
        finish_reason="length",
        prompt_tokens=3,
        steps=tuple(steps),
        scores=tuple(scores),
        logit_digests=tuple(dice.choice((-1, 2**63 - 1)) for _ in range(MOST)),
    )


def _step(**changes: object) -> Callable[[Generation, random.Random], Generation]:
    def changed(answer: Generation, dice: random.Random) -> Generation:
        steps = list(answer.steps)
        at = dice.randrange(len(steps))
        steps[at] = replace(steps[at], **changes)
        return replace(answer, steps=tuple(steps))

    return changed


def _score(**changes: object) -> Callable[[Generation, random.Random], Generation]:
    def changed(answer: Generation, dice: random.Random) -> Generation:
        scores = list(answer.scores or ())
        at = dice.randrange(len(scores))
        scores[at] = replace(scores[at], **changes)
        return replace(answer, scores=tuple(scores))

    return changed


def _token(value: int) -> Callable[[Generation, random.Random], Generation]:
    def changed(answer: Generation, dice: random.Random) -> Generation:
        ids = list(answer.token_ids)
        ids[dice.randrange(len(ids))] = value
        return replace(answer, token_ids=tuple(ids))

    return changed


CHANGES: dict[str, Callable[[Generation, random.Random], Generation]] = {
    "none": lambda answer, _: answer,
    **{f"drafted-{n}": _step(drafted=n) for n in (-1, 0, 1, 4, 5, 1024, 1025, 2**20)},
    **{f"accepted-{n}": _step(accepted=n) for n in (-2, -1, 0, 1, 3, 5)},
    **{f"emitted-{n}": _step(emitted=n) for n in (-1, 0, 1, 2, 6)},
    **{f"rejected-{n}": _step(rejected=n) for n in (None, 7, 2**31 - 1, 2**31)},
    **{f"seconds-{n}": _step(seconds=n) for n in (-1.0, 1e9, float("inf"))},
    **{f"drafts-{n}": _step(drafts=(7,) * n) for n in (0, 1, 4, 1025)},
    "drafts-untold": _step(drafts=None),
    "draft-logprob": _step(draft_logprobs=(float("-inf"),)),
    "residual-weight": _step(residual_log_weight=float("inf")),
    **{f"token-{n}": _token(n) for n in (0, 1, VOCABULARY - 1, VOCABULARY, -1, 2**31)},
    **{f"logprob-{n}": _score(logprob=n) for n in (0.0, -4.0, -1e-6, 900.0, float("inf"))},
    **{f"rival-{n}": _score(rival=n) for n in (5, 2**31)},
    "no-steps": lambda answer, _: replace(answer, steps=()),
    "no-scores": lambda answer, _: replace(answer, scores=None),
    "fewer-scores": lambda answer, _: replace(answer, scores=(answer.scores or ())[:-1]),
    "empty": lambda answer, _: replace(answer, token_ids=(), steps=(), scores=()),
    "shorter": lambda answer, _: replace(answer, token_ids=answer.token_ids[:-1]),
    "large-fingerprint": lambda answer, _: replace(answer, logit_digests=(2**64 - 1,) * MOST),
    "mixed-fingerprints": lambda answer, _: replace(answer, logit_digests=(2**64 - 1, -1)),
    "wild-fingerprint": lambda answer, _: replace(answer, logit_digests=(2**64,)),
    "overlong": lambda answer, _: replace(answer, logit_digests=(1,) * 2000),
}


@pytest.fixture(params=CHANGES)
def answers(request: pytest.FixtureRequest) -> list[Generation]:
    """Thirty answers, each changed in one place."""
    change = CHANGES[request.param]
    return [change(answer_of(seed), random.Random(seed)) for seed in range(30)]


def _small(answers: list[Generation]) -> list[tuple[Generation, Generation]]:
    """Answers beside what they are packed to; those too large for that are refused anyway."""
    pairs = []
    for answer in answers:
        try:
            pairs.append((answer, packed(answer)))
        except OverflowError:
            assert out_of_bounds(answer, RequestLimits())
    return pairs


def test_a_packed_answer_reads_and_writes_as_it_was(answers: list[Generation]) -> None:
    for answer, small in _small(answers):
        assert unpacked(small) == answer
        assert msgspec.json.encode(unpacked(small)) == msgspec.json.encode(answer)
        assert small == answer
        assert small.totals == answer.totals
        assert list(small.steps) == list(answer.steps)
        assert [small.steps[at] for at in range(len(answer.steps))] == list(answer.steps)
        assert step_counts(small).tolist() == step_counts(answer).tolist()
        assert repr(seconds_of(small).tolist()) == repr(seconds_of(answer).tolist())
        assert logprobs_of(small).tolist() == logprobs_of(answer).tolist()
        assert number_same(small.token_ids, answer.token_ids) == len(answer.token_ids)


def test_bounds_are_the_same_from_columns(answers: list[Generation]) -> None:
    limits = RequestLimits(tokens=MOST, prompt=3)
    for answer, small in _small(answers):
        assert within_bounds(small, limits) <= (out_of_bounds(answer, limits) is None)
        if len(answer.logit_digests or ()) <= MOST:
            assert within_bounds(small, limits) == (out_of_bounds(answer, limits) is None)


@pytest.mark.parametrize("names", [True, False])
def test_counters_that_add_up_have_no_fault(answers: list[Generation], names: bool) -> None:
    told = make_capabilities(num_speculative_tokens=4, reports_steps=True, reports_rejected=names)
    for answer, small in _small(answers):
        faults = list(counters.faults_of(answer, told))
        assert columns.counters_add_up(small, told) <= (not faults)
        if answer.steps and answer.token_ids:
            assert columns.counters_add_up(small, told) == (not faults)


def test_stops_are_judged_the_same(answers: list[Generation]) -> None:
    request = make_request("code/one", max_new_tokens=MOST, stop_token_ids=(VOCABULARY - 1,))
    header = replace(make_header(planned={}), vocab_size=VOCABULARY, eos_token_ids=(0,))
    for answer, small in _small(answers):
        judged = [
            list(stopping.faults_of(make_captured("target", each), request=request, header=header))
            for each in (answer, small)
        ]
        assert judged[0] == judged[1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_are_judged_the_same(answers: list[Generation], temperature: float) -> None:
    request = make_request("code/one", sampling=Sampling(temperature=temperature))
    for answer, small in _small(answers):
        if answer.scores is None or small.scores is None:
            continue
        found = []
        for each, scores in ((answer, answer.scores), (small, small.scores)):
            output = logprobs.ScoredOutput("code/one", "target", scores, each.token_ids, None)
            faults = logprobs.faults_of(output, request=request, settings=Settings())
            found.append(list(faults))
        assert found[0] == found[1]
        sure = columns.scores_agree(
            small.scores, small.token_ids, slack=OWN_SCORE_SLACK, greedy=not temperature
        )
        assert sure <= (not found[0])


def test_a_score_that_parts_from_the_reference_is_not_followed() -> None:
    small = packed(answer_of(1))
    assert small.scores is not None
    reference = [score.logprob for score in small.scores]
    assert columns.scores_follow(small.scores, reference, allowed=0.01, mean=0.01)
    for far, allowed, mean in ((0.1, 0.01, 0.1), (0.1, 0.2, 0.001)):
        changed = [reference[0] + far, *reference[1:]]
        assert not columns.scores_follow(small.scores, changed, allowed=allowed, mean=mean)
