"""The parts of scoring by themselves, each against the decoder's own or its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Step
from equivcheck.decoding.controls import SamplingControls
from equivcheck.decoding.drafters import PromptLookupDrafter
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.transforms import Prefix, penalise, sharpen
from equivcheck.records.score_table import (
    ALTERNATIVES,
    CROSSING_GROUP,
    Stage,
    Support,
    Twin,
    Violation,
)
from equivcheck.scoring.columns import ScoredRows, columns
from equivcheck.scoring.distributions import possible, sampling_distribution
from equivcheck.scoring.lookup import proposals
from equivcheck.scoring.neighbours import Neighbours
from equivcheck.scoring.penalties import apply_penalties, penalise_output
from equivcheck.scoring.trace import NOTHING, Traced, tells_rejected, traced
from tests.unit.make import make_generation, make_request
from tests.unit.statistics import tables

VOCAB = 40
TOKEN = st.integers(0, VOCAB - 1)
NUMBER = st.floats(-3, 3, width=32)
END = 5
CPU = torch.device("cpu")


def some_logits(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3


@st.composite
def penalties(draw: st.DrawFn) -> Sampling:
    return Sampling(
        temperature=1.0,
        repetition_penalty=draw(st.sampled_from([1.0, 0.7, 1.3])),
        presence_penalty=draw(st.sampled_from([0.0, 0.5, -0.5])),
        frequency_penalty=draw(st.sampled_from([0.0, 0.25, -0.1])),
        logit_bias=draw(st.dictionaries(TOKEN, NUMBER, max_size=3)),
        banned_tokens=tuple(draw(st.lists(TOKEN, max_size=3))),
        min_new_tokens=draw(st.integers(0, 9)),
    )


@settings(deadline=None)
@given(
    distribution=penalties(),
    prompt=st.lists(TOKEN, min_size=1, max_size=6),
    output=st.lists(TOKEN, min_size=1, max_size=8),
    first=st.integers(0, 7),
    seed=st.integers(0, 999),
)
def test_penalties_of_an_output_agree_with_the_decoder_and_with_the_one_row_form(
    distribution: Sampling, prompt: list[int], output: list[int], first: int, seed: int
) -> None:
    first = min(first, len(output) - 1)
    rows = some_logits(len(output) - first, VOCAB, seed=seed)
    before = rows.clone()
    request = make_request(prompt_ids=tuple(prompt), sampling=distribution)
    found = penalise_output(rows, request, output=output, first=first, end_ids=(END,))
    assert torch.equal(rows, before)
    controls = SamplingControls(rows=1, vocab=VOCAB, device=CPU)
    controls.admit(0, request, stop_ids=(END,))
    for place, (row, ours) in enumerate(zip(rows, found, strict=True), start=first):
        said = torch.tensor(output[:place], dtype=torch.int64)
        prefix = Prefix(torch.bincount(said, minlength=VOCAB)[None].float(), torch.tensor([place]))
        torch.testing.assert_close(ours, penalise(row[None], controls, prefix)[0])
        alone = apply_penalties(row, request, output=output[:place], end_ids=(END,))
        torch.testing.assert_close(ours, alone)


@settings(deadline=None)
@given(
    seed=st.integers(0, 9999),
    temperature=st.floats(0.3, 2.0),
    top_k=st.integers(0, VOCAB + 5),
    # Between these, the decoder's sums in fp32 reach p before the tail's last tokens.
    top_p=st.floats(0.05, 0.9999) | st.just(1.0),
    min_p=st.floats(0.0, 0.5),
)
def test_truncation_agrees_with_the_decoder(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    distribution = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    logits = some_logits(3, VOCAB, seed=seed)
    request = make_request(sampling=distribution)
    controls = SamplingControls(rows=3, vocab=VOCAB, device=CPU)
    for row in range(3):
        controls.admit(row, request, stop_ids=())
    controls.set_features([request])
    theirs = sharpen(logits[:, None], controls)[:, 0].log_softmax(dim=-1)
    ours = sampling_distribution(logits, distribution)
    # At the border a token may fall either way, by rounding.
    differing = possible(ours.log) != theirs.isfinite()
    assert differing.sum() <= 1
    for row in range(3):
        if not differing[row].any():
            kept = theirs[row].isfinite()
            torch.testing.assert_close(ours.log[row][kept], theirs[row][kept], atol=1e-5, rtol=0)
    least = ours.log.masked_fill(~possible(ours.log), torch.inf).argmin(dim=-1)
    for tokens in (ours.log.argmax(dim=-1), least):
        slack = torch.full((3,), 1e-3)
        assert (ours.lowest(tokens, slack=slack) <= ours.at(tokens) + 1e-6).all()
        assert (ours.at(tokens) <= ours.highest(tokens, slack=slack) + 1e-6).all()


def test_equals_at_the_border_go_to_the_smaller_ids() -> None:
    logits = torch.zeros(1, VOCAB)
    logits[0, 30] = 1.0
    distribution = sampling_distribution(logits, Sampling(temperature=1.0, top_k=4))
    assert possible(distribution.log[0]).nonzero().flatten().tolist() == [0, 1, 2, 30]


def drawn_at(*tokens: int, stage: Stage = Stage.UNKNOWN, draft: int = NOTHING) -> ScoredRows:
    rows = len(tokens)
    return ScoredRows(
        token=torch.tensor(tokens),
        stage=torch.full((rows,), int(stage), dtype=torch.uint8),
        draft=torch.full((rows,), draft),
        noise=torch.full((rows, 3), 0.5, dtype=torch.float64),
        earlier=torch.full((rows, 1), NOTHING),
        twin_token=torch.full((rows,), NOTHING),
    )


FALLING = torch.tensor([0.4, 0.3, 0.1, 0.08, 0.06, 0.04, 0.0195, 0.0005]).log()
CUTS = {
    "top-k": (Sampling(temperature=1.0, top_k=3), [0, 0, 0, 1, 1, 2, 2, 2]),
    "top-p": (Sampling(temperature=1.0, top_p=0.799), [0, 0, 0, 1, 2, 2, 2, 2]),
    "min-p": (Sampling(temperature=1.0, min_p=0.203), [0, 0, 0, 1, 2, 2, 2, 2]),
    "none": (Sampling(temperature=1.0), [0] * 8),
}


@pytest.mark.parametrize(("sampling", "expected"), CUTS.values(), ids=CUTS)
def test_support_has_a_border(sampling: Sampling, expected: list[int]) -> None:
    distribution = sampling_distribution(FALLING.expand(8, -1), sampling)
    found = columns(
        target=distribution,
        draft=distribution,
        drawn=drawn_at(*range(8)),
        slack=torch.full((8,), 1e-3),
    )
    assert found["support"].tolist() == expected
    outside = found["support"] != Support.INSIDE
    assert (found["log_ratio"][outside] == 0).all()
    assert found["surprisal"][outside].isinf().all()


def test_a_banned_token_is_outside_whatever_the_slack() -> None:
    logits = FALLING.clone()
    logits[2] = float("-inf")
    distribution = sampling_distribution(logits.expand(2, -1), Sampling(temperature=1.0, top_p=0.9))
    found = columns(
        target=distribution, draft=distribution, drawn=drawn_at(2, 2), slack=torch.full((2,), 50.0)
    )
    assert found["support"].tolist() == [Support.OUTSIDE] * 2


def judged(
    p: list[float], q: list[float], *, token: int, draft: int, slack: float, **cut: Any
) -> dict[str, int]:
    """Violation and stage of one recovered token."""
    sampling = Sampling(temperature=1.0, **cut)
    target, draft_distribution = (
        sampling_distribution(torch.tensor([each]).log(), sampling) for each in (p, q)
    )
    drawn = drawn_at(token, stage=Stage.RECOVERED, draft=draft)
    found = columns(
        target=target, draft=draft_distribution, drawn=drawn, slack=torch.tensor([slack])
    )
    return {name: int(found[name]) for name in ("violation", "stage")}


def test_violations_are_what_the_rule_never_does() -> None:
    p, q = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    sound = judged(p, q, token=0, draft=2, slack=1e-3)
    assert sound == {"violation": Violation.NONE, "stage": Stage.RECOVERED}
    surely = judged(p, q, token=0, draft=0, slack=1e-3)
    assert surely["violation"] == Violation.REJECTED_SURE
    stolen = judged(p, q, token=2, draft=2, slack=1e-3)
    assert stolen["violation"] == Violation.RECOVERED_IMPOSSIBLE


def test_a_violation_within_the_slack_is_none() -> None:
    p, q = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    assert judged(p, q, token=2, draft=1, slack=1e-3)["violation"] != Violation.NONE
    for token, draft in ((0, 0), (2, 2)):
        assert judged(p, q, token=token, draft=draft, slack=1.0)["violation"] == Violation.NONE
    # p = q at the rejected draft: a hair decides.
    assert judged(p, q, token=0, draft=1, slack=1e-3)["violation"] == Violation.NONE


def test_a_draft_that_q_rules_out_is_impossible_unless_it_lies_at_the_border() -> None:
    p, q = [0.2, 0.2, 0.2, 0.2, 0.2, 0.0], [0.4, 0.3, 0.2, 0.06, 0.03, 0.01]
    far = judged(p, q, token=0, draft=5, slack=1e-3, top_k=2)
    assert far["violation"] == Violation.DRAFTED_IMPOSSIBLE
    near = judged(p, q, token=0, draft=3, slack=1e-3, top_k=2)
    assert near == {"violation": Violation.NONE, "stage": Stage.UNKNOWN}


def test_equal_distributions_are_neutral() -> None:
    distribution = sampling_distribution(FALLING.expand(1, -1), Sampling(temperature=1.0))
    found = columns(
        target=distribution, draft=distribution, drawn=drawn_at(1), slack=torch.tensor([1e-3])
    )
    assert found["distance"].tolist() == [0.0]
    of_p = ("temperature", "cut-one-short")
    of_draft = [place for place, name in enumerate(ALTERNATIVES) if not name.startswith(of_p)]
    assert found["log_ratio"][0, of_draft].abs().max() < 1e-6


@settings(deadline=None)
@given(
    prompt=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    output=st.lists(st.integers(0, 3), min_size=1, max_size=12),
)
def test_lookup_agrees_with_the_drafter(prompt: list[int], output: list[int]) -> None:
    rows = Rows(rows=1, positions=40, vocab=4, device=CPU)
    found = proposals(prompt, output)
    for place, proposed in enumerate(found):
        text = [*prompt, *output[:place]]
        rows.tokens[0] = 0
        rows.tokens[0, : len(text)] = torch.tensor(text)
        rows.length[0] = len(text)
        follows = int(PromptLookupDrafter().match(rows).follow)
        assert proposed == (text[follows] if follows else NOTHING)


def test_steps_are_read_token_by_token() -> None:
    steps = (
        Step(drafted=2, accepted=1, emitted=2, rejected=30),
        Step(drafted=0, accepted=0, emitted=1),
        Step(drafted=2, accepted=2, emitted=3),
        Step(drafted=4, accepted=3, emitted=2),
    )
    output = make_generation(tuple(range(10, 18)), steps=steps)
    stages = [Stage.ACCEPTED, Stage.RECOVERED, Stage.BONUS, Stage.ACCEPTED, Stage.ACCEPTED]
    stages += [Stage.BONUS, Stage.ACCEPTED, Stage.ACCEPTED]
    drafts = [10, 30, NOTHING, 13, 14, NOTHING, 16, 17]
    ends = [place in (1, 2, 5, 7) for place in range(8)]
    expected = [Traced(*row) for row in zip(stages, drafts, ends, strict=True)]
    assert traced(output, stages=True) == expected
    # A step that was cut before the rejection has nothing to say about it.
    assert tells_rejected([output])
    untold = traced(output, stages=False)
    assert {row.stage for row in untold} == {Stage.UNKNOWN}
    assert [row.ends for row in untold] == ends


def test_a_first_token_without_a_step_was_drawn_from_the_target() -> None:
    steps = (Step(drafted=1, accepted=1, emitted=2),)
    first, *rest = traced(make_generation((1, 2, 3), steps=steps), stages=True)
    assert first == Traced(Stage.BONUS, NOTHING, ends=True)
    assert [row.stage for row in rest] == [Stage.ACCEPTED, Stage.BONUS]


@pytest.mark.parametrize("emitted", [None, 1, 4])
def test_steps_that_do_not_fit_the_output_say_nothing(emitted: int | None) -> None:
    steps = () if emitted is None else (Step(drafted=0, accepted=0, emitted=emitted),)
    rows = traced(make_generation((1, 2, 3), steps=steps), stages=True)
    assert [row.ends for row in rows] == [False, False, True]
    assert {row.stage for row in rows} == {Stage.UNKNOWN}


def test_an_engine_that_hides_what_it_rejected_is_not_traced() -> None:
    steps = (Step(drafted=1, accepted=0, emitted=1),)
    assert not tells_rejected([make_generation((1,), steps=steps)])


def test_drafts_name_the_one_that_was_rejected() -> None:
    steps = (
        Step(drafted=3, accepted=1, emitted=2, drafts=(10, 30, 31)),
        Step(drafted=1, accepted=1, emitted=2, drafts=(12,)),
    )
    output = make_generation((10, 11, 12, 13), steps=steps)
    assert tells_rejected([output])
    assert [(row.stage, row.draft) for row in traced(output, stages=True)] == [
        (Stage.ACCEPTED, 10),
        (Stage.RECOVERED, 30),
        (Stage.ACCEPTED, 12),
        (Stage.BONUS, NOTHING),
    ]


def test_neighbours_are_those_of_the_definition() -> None:
    table = tables.make(tables.Decoder(), seed=5, rounds=6)
    random = np.random.default_rng(5)
    tokens = random.integers(0, tables.VOCABULARY, (len(table.keys), tables.LENGTH))
    p = np.full((tokens.size, tables.VOCABULARY), 1 / tables.VOCABULARY)
    mass, _ = tables.collisions(p, tokens.ravel())
    twins, _ = tables.twins(p, tokens.ravel())
    neighbours = Neighbours()
    for output, (key, row) in enumerate(zip(table.keys, tokens.tolist(), strict=True)):
        here = slice(output * tables.LENGTH, (output + 1) * tables.LENGTH)
        generation = make_generation(row, key=key)
        distinct = (neighbours.earlier(generation) != NOTHING).sum(axis=1)
        assert bool(neighbours.group) == (output % CROSSING_GROUP > 0)
        np.testing.assert_allclose(
            distinct[:8] / tables.VOCABULARY, np.nan_to_num(mass[here][:8]), rtol=1e-5
        )
        kinds, others = neighbours.twins(generation)
        assert kinds.tolist() == twins[here].tolist()
        assert ((others != NOTHING) == (kinds != Twin.NONE)).all()
        neighbours.add(generation)
