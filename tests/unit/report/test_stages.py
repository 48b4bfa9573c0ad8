"""The table of sampled tokens by stage: it needs no draft distribution."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from equivcheck.checks.verdict import judge
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.score_table import Support
from equivcheck.report import html, markdown, terminal
from equivcheck.report.distribution import distribution_view
from equivcheck.report.stages import STAGE_LEGEND, stage_cells, stage_rows
from equivcheck.report.view import view_of
from tests.unit.checks.test_sampled import evidence_of, table
from tests.unit.make import make_steps
from tests.unit.statistics.tables import LENGTH, Decoder

BLOCKS = ((2, 2), (2, 1), (2, 0), (0, 0))
"""Seven tokens: three accepted, two recovered, one bonus, one plain."""


def with_steps(evidence: Evidence, *blocks: tuple[int, int]) -> Evidence:
    steps = make_steps(*blocks, *[(0, 0)] * (LENGTH - sum(each[1] + 1 for each in blocks)))
    draws = {
        key: msgspec.structs.replace(draw, steps=steps if blocks else ())
        for key, draw in evidence.draws[SAMPLED].items()
    }
    return msgspec.structs.replace(evidence, draws={SAMPLED: draws})


@pytest.fixture(scope="module")
def run() -> Evidence:
    return with_steps(evidence_of(table(Decoder(), rounds=40)), *BLOCKS)


def test_every_token_is_counted_by_how_it_came_to_be(run: Evidence) -> None:
    assert run.scores is not None
    rows = {row.stage: row for row in stage_rows(run, run.scores)}
    draws = len(run.scores.keys)
    assert {name: row.tokens for name, row in rows.items()} == {
        "plain": draws * (LENGTH - 6),
        "accepted": draws * 3,
        "recovered": draws * 2,
        "accepted or recovered": draws * 5,
        "bonus": draws,
    }
    assert sum(row.impossible for row in rows.values()) == 0


def test_excess_is_surprisal_over_entropy_with_its_error(run: Evidence) -> None:
    assert run.scores is not None
    surprisal = run.scores.entropy + 0.25
    surprisal[::2] += 0.02
    scores = dataclasses.replace(run.scores, surprisal=surprisal)
    plain = stage_rows(run, scores)[0]
    assert plain.excess == pytest.approx(0.26, abs=1e-3)
    assert plain.error == pytest.approx(0.01 / np.sqrt(plain.tokens), rel=0.02)
    assert stage_cells(plain)[2].startswith("+0.2")


def test_impossible_tokens_stand_with_their_stage(run: Evidence) -> None:
    assert run.scores is not None
    support = run.scores.support.copy()
    support[2] = Support.OUTSIDE  # the bonus token of the first draw
    rows = {
        row.stage: row for row in stage_rows(run, dataclasses.replace(run.scores, support=support))
    }
    assert {name: row.impossible for name, row in rows.items() if row.impossible} == {"bonus": 1}


def test_a_sound_decoder_has_no_excess(run: Evidence) -> None:
    view = distribution_view(run)
    assert view is not None
    for row in view.stages:
        assert row.excess is not None
        assert row.error is not None
        assert abs(row.excess) < 4 * row.error


def test_without_steps_there_is_no_table(run: Evidence) -> None:
    silent = with_steps(run)
    assert silent.scores is not None
    assert stage_rows(silent, silent.scores) == ()


def test_every_face_shows_it(run: Evidence) -> None:
    view = view_of(run, judge(run))
    text = " ".join(terminal.render(view).split())
    assert "accepted or recovered" in text
    assert STAGE_LEGEND in text
    assert "| accepted or recovered |" in markdown.render(view)
    assert '<th scope="row">accepted or recovered</th>' in html.render(view)
