"""The report of a large run in a real browser: nothing in it runs, and all that fails is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.verdict import judge
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.report import html
from equivcheck.report.view import view_of
from tests.unit.make import make_arbitration, make_evidence, make_gaps, make_generation, make_steps

CASES, FAILING = 2_000, 50
HOSTILE = (
    "</pre><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "\u202e\x1b[2J<svg onload=\"document.title='taken'\">"
)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def answer(key: str, *, last: int, speculative: bool) -> Generation:
    blocks = [(2, 2), (2, 0)] if speculative else [(0, 0)] * 4
    scores = [(-0.1, 5, -3.0)] * 4
    return make_generation((10, 11, 12, last), key=key, steps=make_steps(*blocks), scores=scores)


def page_of_a_large_run() -> str:
    keys = [f"code/c{number}" for number in range(CASES)]
    target = [answer(key, last=13, speculative=False) for key in keys]
    candidate = [
        answer(key, last=77 if number < FAILING else 13, speculative=True)
        for number, key in enumerate(keys)
    ]
    apart = [
        make_arbitration(
            key=key,
            position=3,
            context=HOSTILE,
            target_piece=HOSTILE,
            arm_piece=HOSTILE,
            target_logprob=-0.1,
            arm_logprob=-5.0,
            best=13,
            best_logprob=-0.1,
            target_gaps=make_gaps(0.0, 0.0, 0.0, 0.0),
            arm_gaps=make_gaps(0.0, 0.0, 0.0, 4.9),
        )
        for key in keys[:FAILING]
    ]
    evidence = make_evidence({TARGET: target, CANDIDATE: candidate}, arbitrations=apart)
    told = {
        arm: {key: msgspec.structs.replace(each, text=HOSTILE + arm) for key, each in found.items()}
        for arm, found in evidence.captured.items()
    }
    evidence = msgspec.structs.replace(evidence, captured=told)
    return html.render(view_of(evidence, judge(evidence)))


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_two_thousand_cases_with_hostile_texts(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(page_of_a_large_run(), encoding="utf-8")
    assert page.stat().st_size <= html.MOST_BYTES
    seen = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    title = re.search(r"<title>(.*?)</title>", seen)
    assert title
    assert title[1] != "taken"
    assert not re.search(r"<(script|img)\b|<svg onload", seen)
    assert "diverged from target on 50 of 2,000 prompts" in title[1]
    failing = [f"code/c{number}" for number in range(FAILING)]
    assert all(key in seen for key in failing)
