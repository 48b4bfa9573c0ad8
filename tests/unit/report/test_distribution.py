"""The sampled distribution in the report: what was tested, how close it came, what was excluded."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from equivcheck.checks.verdict import judge
from equivcheck.records.score_table import Support
from equivcheck.report import html, markdown, terminal
from equivcheck.report.distribution import NOT_REACHED, SHARES, distribution_view
from equivcheck.report.figures import CURVE_HEIGHT, CURVE_WIDTH, height, line
from equivcheck.report.view import view_of
from tests.unit.checks.test_sampled import evidence_of, table
from tests.unit.statistics.tables import Decoder, temperature


def test_a_run_without_draws_has_no_section() -> None:
    evidence = evidence_of(None)
    assert distribution_view(evidence) is None
    assert 'id="distribution"' not in html.render(view_of(evidence, judge(evidence)))


def test_the_view_holds_what_the_battery_found() -> None:
    view = distribution_view(evidence_of(table(Decoder(), rounds=40)))
    assert view is not None
    assert (view.tokens, view.draws, view.limit) == (5120, 320, 4.0)
    assert view.curve[-1][0] == view.tokens
    assert max(value for _, value in view.curve) < view.limit
    assert dict(view.parts).keys() >= {"all", "output", "stages", "serial", "crossing", "bonus"}
    assert dict(view.bounds)["leak=0.05"] == NOT_REACHED
    assert max(abs(seen - share) for share, seen in view.transform) < 0.03


def test_a_refuted_distribution_leaves_diagonal_and_limit() -> None:
    view = distribution_view(evidence_of(table(Decoder(output=temperature(1.3)), rounds=120)))
    assert view is not None
    assert view.curve[-1][1] > view.limit
    assert max(seen - share for share, seen in view.transform) > 0.02


def test_the_report_draws_both_pictures() -> None:
    evidence = evidence_of(table(Decoder(), rounds=40))
    text = html.render(view_of(evidence, judge(evidence)))
    section = text[text.index('<section id="distribution"') :].partition("</section>")[0]
    assert len(re.findall("<svg", section)) == 2
    assert "Evidence against the distribution, by tokens drawn" in section
    assert "5,120 tokens of 320 draws" in section
    assert "NaN" not in section
    assert "nan" not in section


def test_text_and_markdown_say_it_in_a_few_lines() -> None:
    evidence = evidence_of(table(Decoder(), rounds=40))
    view = view_of(evidence, judge(evidence))
    plain, marked = terminal.render(view), markdown.render(view)
    assert "sampled distribution: 5,120 tokens of 320 draws, highest e-value 10^" in plain
    assert "not excluded: leak=0.05" in " ".join(plain.split())
    assert "- sampled distribution: 5,120 tokens of 320 draws" in marked
    assert max(len(line) for line in plain.splitlines()) <= 100


def test_a_drafter_off_its_distribution_is_told_of_beside_the_verdict() -> None:
    evidence = evidence_of(table(Decoder(misread=0.3), rounds=40))
    view = view_of(evidence, judge(evidence))
    said = "drafter degraded, or its q misread: judged by p alone ("
    assert said in " ".join(terminal.render(view).split())
    assert f"- {said}" in markdown.render(view)
    assert said in html.render(view)
    sound = evidence_of(table(Decoder(), rounds=40))
    assert "misread" not in terminal.render(view_of(sound, judge(sound)))


def test_draws_wholly_outside_the_distribution_have_no_transform() -> None:
    sound = table(Decoder(), rounds=4)
    outside = dataclasses.replace(sound, support=np.full_like(sound.support, Support.OUTSIDE))
    evidence = evidence_of(outside)
    text = html.render(view_of(evidence, judge(evidence)))
    section = text.partition('<section id="distribution"')[2]
    assert section.partition("</section>")[0].count("<svg") == 1


def test_a_line_keeps_to_its_canvas() -> None:
    path = line([(0, -99), (50, 0), (100, 99)], right=100, bottom=-8, top=8)
    assert (
        path
        == f"M0.0 {float(CURVE_HEIGHT)}L{CURVE_WIDTH / 2} {CURVE_HEIGHT / 2}L{CURVE_WIDTH}.0 0.0"
    )


@pytest.mark.parametrize(("value", "at"), [(0.0, CURVE_HEIGHT), (1.0, 0), (0.25, 90), (7.0, 0)])
def test_heights_count_from_above(value: float, at: float) -> None:
    assert height(value, bottom=0.0, top=1.0) == at


def test_shares_are_spread_evenly() -> None:
    assert SHARES[0] + SHARES[-1] == pytest.approx(1.0)
