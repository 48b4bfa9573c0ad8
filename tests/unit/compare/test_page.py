"""The page of two runs: what differs, what broke, and hostile text that stays text."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest

from equivcheck.baselines.cells import Terms
from equivcheck.cli.main import run
from equivcheck.compare.compare import compare
from equivcheck.compare.page import LINE, render
from equivcheck.core.findings import Outcome
from equivcheck.records.baseline_record import Baseline
from tests.unit.baselines.make import even_cases, make_baseline, make_case

NONE: Mapping[str, str] = {}
HOSTILE = "<script>alert(1)</script>\x1b[31m"


class Page(HTMLParser):
    """Cells of a page, row by row, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        self.open = tag in ("td", "th") or (self.open and tag == "a")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data.strip()


def page_of(base: Baseline, new: Baseline, reports: Mapping[str, str] = NONE) -> Page:
    found = compare(base=base, new=new, terms=Terms())
    return Page(render(found, base=base, new=new, reports=reports))


def test_what_broke_and_what_differs_stand_side_by_side() -> None:
    worse = even_cases(accepted=40) | {
        "code/0": make_case(9, 3, outcome=Outcome.FAIL, state="diverged")
    }
    new = make_baseline(worse, under_test={"candidate": "native:gamma=4,x=1"})
    base = make_baseline(under_test={"candidate": "native:gamma=4"})
    page = page_of(base, new, {"base": "../a/report.html", "new": "report.html"})
    assert ["candidate", "native:gamma=4", "native:gamma=4,x=1"] in page.rows
    assert ["✗", "code/0", "identical", "newly diverged"] in page.rows
    assert [each["href"] for tag, each in page.tags if tag == "a"] == [
        "../a/report.html",
        "report.html",
    ]
    ring, dot = (each for tag, each in page.tags if tag == "circle")
    assert float(str(ring["cx"])) > float(str(dot["cx"])) > 0
    assert float(str(ring["cx"])) < LINE


def test_hostile_text_stays_text() -> None:
    base = make_baseline(under_test={"candidate": HOSTILE}, name=HOSTILE)
    page = page_of(
        base,
        make_baseline({"code/" + HOSTILE: make_case(9, 3, outcome=Outcome.FAIL, state="diverged")}),
    )
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert any("<script>" in cell for row in page.rows for cell in row)
    assert not any("\x1b" in cell for row in page.rows for cell in row)


@pytest.mark.parametrize("other", ["nowhere", "empty"])
def test_what_is_no_run_is_one_clear_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    other: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(["report", "empty", other]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert other in line or "empty" in line
