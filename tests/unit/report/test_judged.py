"""What was not judged is said with its reason, and nothing where all was."""

from __future__ import annotations

from equivcheck.checks.judged import Judged
from equivcheck.checks.verdict import judge
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET
from equivcheck.report import html, markdown
from equivcheck.report.judged import judged_cells, judged_lines
from equivcheck.report.terminal import render
from equivcheck.report.view import view_of
from tests.unit.make import make_evidence, make_generation

ALL = Judged(check="greedy", unit="outputs", judged=1200, not_judged={})
SOME = Judged(check="sampled", unit="tokens", judged=3, not_judged={"at a tie": 7, "no scores": 1})


def test_words() -> None:
    assert list(judged_lines([ALL])) == []
    assert list(judged_lines([ALL, SOME])) == [
        "not judged: sampled 7 tokens (at a tie), 1 token (no scores)"
    ]
    assert judged_cells(ALL) == ("greedy", "1,200 outputs", "none")
    assert judged_cells(SOME)[2] == "7 tokens (at a tie), 1 token (no scores)"


def test_every_face_says_it() -> None:
    answers = [make_generation()]
    view = view_of(
        evidence := make_evidence({TARGET: answers, CANDIDATE: answers, CONTROL: answers}),
        judge(evidence),
    )
    for text in (render(view), markdown.render(view), html.render(view)):
        assert "only how often it parts from target" in text.replace("\n  ", " ")
