"""The HTML report: well formed, harmless, bounded, and the same numbers as everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.report import html
from equivcheck.report.layout import count_words, workload_cells
from equivcheck.report.view import FindingBlock, RunView
from tests.unit.make import make_evidence
from tests.unit.report.test_report import RUNS, make_run, view

VOID = {"meta", "br", "hr", "img", "link", "input"}
NO_CLOSING = {"path", "rect", "circle"}
HOSTILE = (
    "<script>alert(1)</script>\"'&\x1b[31m\x00\u202e\u2066\ufeff\n\r\u2028<img src=x onerror=a()>"
)


class Page(HTMLParser):
    """What a browser would make of the text; an unbalanced tag fails at once."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in NO_CLOSING
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def assert_harmless(text: str) -> Page:
    page = Page(text)
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section"}
    allowed |= {"footer", "article", "details", "summary", "div", "span", "p", "h1", "h2", "h3"}
    allowed |= {"a", "pre", "code", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    allowed |= {"dl", "dt", "dd", "svg", "desc", "text", "mark", "label", "input", *NO_CLOSING}
    assert {tag for tag, _ in page.tags} <= allowed
    assert {each["type"] for each in page.named("input")} <= {"checkbox"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in {"style", "src"} for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} == {"\n"}
    return page


@pytest.mark.parametrize("name", RUNS)
def test_the_numbers_are_the_views(name: str) -> None:
    shown = view(make_run(**RUNS[name]))  # type: ignore[arg-type]
    page = assert_harmless(html.render(shown))
    assert shown.headline in page.text
    assert count_words(shown) in page.text
    for row in shown.workloads:
        drawn = r" (?:Acceptance of .*? on a line from 0 to 1 )?"
        assert re.search(drawn.join(map(re.escape, workload_cells(row))), page.text)
    for gate in shown.gates:
        assert gate.summary in page.text
    for block in (*shown.problems, *shown.near_ties):
        assert block.finding.headline in page.text
    for case in shown.appendix.cases:
        assert case.case in page.text
    for setting, value in shown.appendix.settings.items():
        assert f"{setting} {value}" in page.text


def test_both_tokens_of_a_divergence_are_on_the_page() -> None:
    text = Page(html.render(view(make_run(parted=["code/c1"])))).text
    assert "⟦ fib⟧ target: token 12" in text
    assert "⟦ f⟧ candidate: token 77" in text
    assert "equivcheck replay run-1 code/c1" in text


def test_both_texts_of_a_divergence_stand_side_by_side_behind_what_they_share() -> None:
    evidence = make_run(parted=["code/c1"])
    answers = {
        arm: {
            **evidence.captured[arm],
            "code/c1": replace(evidence.captured[arm]["code/c1"], text=told),
        }
        for arm, told in ((TARGET, "return fib(n)"), (CANDIDATE, "return f</mark>"))
    }
    shown = view(replace(evidence, captured={**evidence.captured, **answers}))
    (texts,) = [block.texts for block in shown.problems if block.texts is not None]
    assert texts.shared == "return f"
    assert [(side.arm, side.text) for side in texts.sides] == [
        ("target", "ib(n)"),
        ("candidate", "</mark>"),
    ]
    target, candidate = texts.sides
    assert target.token_ids[0] != candidate.token_ids[0]
    page = assert_harmless(html.render(shown))
    assert len(page.named("mark")) == 2
    assert " ".join(map(str, candidate.token_ids)) in page.text
    assert "(no other text)" in Page(html.render(view(evidence))).text


def test_findings_behind_the_third_are_folded() -> None:
    parted = [f"{workload}/c{at}" for workload in ("chat", "code") for at in range(2)]
    text = html.render(view(make_run(parted=parted)))
    articles = text.split("<article")[1:]
    assert len(articles) == 4
    assert ["<details open>" in article.partition("</article>")[0] for article in articles] == [
        *(True, True, True, False)
    ]


def test_cases_stand_worst_first_with_what_the_candidate_did() -> None:
    cases = view(make_run(parted=["chat/c0"])).appendix.cases
    assert (cases[0].case, cases[0].outcome) == ("chat/c0", Outcome.FAIL)
    assert cases[0].found.startswith("candidate diverged from target at output token 2")
    assert [case.case for case in cases[1:3]] == ["code/c0", "code/c1"]
    assert (cases[0].where, cases[0].tokens) == ("suites/chat.jsonl:10", 4)
    assert (cases[0].accepted, cases[0].drafted) == (2, 3)


def test_a_case_without_an_answer_says_so() -> None:
    evidence = make_run()
    unanswered = msgspec.structs.replace(evidence, captured={**evidence.captured, CANDIDATE: {}})
    case = view(unanswered).appendix.cases[0]
    assert (case.outcome, case.tokens, case.drafted) == (Outcome.INCONCLUSIVE, None, 0)
    assert "no answer" in Page(html.render(view(unanswered))).text


def test_a_reader_who_hears_the_page_can_follow_it() -> None:
    page = Page(html.render(view(make_run(parted=["code/c1"]))))
    assert page.named("html") == [{"lang": "en"}]
    assert [len(page.named(tag)) for tag in ("main", "h1", "header", "footer")] == [1, 1, 1, 1]
    assert len(page.named("caption")) == len(page.named("table"))
    assert {heading.get("scope") for heading in page.named("th")} == {"col", "row"}
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawings = page.named("svg")
    assert len(drawings) == 10
    for named in [*drawings, *page.named("section")]:
        assert {*(named["aria-labelledby"] or "none").split()} <= {*ids}
    assert {(link["href"] or "")[1:] for link in page.named("a")} <= {*ids}
    assert all(drawing["role"] == "img" for drawing in drawings)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_of_text_stands_out_from_every_ground() -> None:
    palettes = re.findall(r":root \{([^}]*)\}", html.render(view(make_run())))
    assert len(palettes) == 3
    for palette in palettes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", palette))
        for ink in ("ink", "quiet", "pass", "inconclusive", "fail"):
            for ground in ("paper", "soft"):
                pair = sorted(luminance(colours[name]) for name in (ink, ground))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (ink, ground)


def hostile_view(text: str) -> RunView:
    """Every text of the view that a model, a suite or a machine may have a hand in."""
    shown = view(make_run(parted=["code/c1"]))
    finding = Finding(
        check="greedy",
        subject=text,
        outcome=Outcome.FAIL,
        reason=Reason.DIVERGED,
        headline=text,
        details=(text,) * 3,
        repeat=text,
    )
    appendix = shown.appendix
    case = msgspec.structs.replace(appendix.cases[0], case=text, where=text, found=text)
    arm = msgspec.structs.replace(appendix.arms[0], arm=text, engine=text, notes=(text,))
    block = FindingBlock(finding=finding, where=text)
    row = msgspec.structs.replace(shown.workloads[0], workload=text)
    told = {text: text}
    return msgspec.structs.replace(
        shown,
        run=text,
        headline=text,
        arms=text,
        workloads=(row,),
        problems=(block,),
        near_ties=(block,),
        environment=(text,),
        appendix=msgspec.structs.replace(
            appendix, cases=(case,), arms=(arm,), suites=told, models=told, environment=told
        ),
    )


def test_a_hostile_page_is_text() -> None:
    page = assert_harmless(html.render(hostile_view(HOSTILE)))
    assert (
        "<script>alert(1)</script>\"'&\\x1b[31m\\x00\\u202e\\u2066\\ufeff\\n\\r\\u2028" in page.text
    )


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_no_text_breaks_out(text: str) -> None:
    assert_harmless(html.render(hostile_view(text)))


def test_hostile_output_of_a_model_comes_out_escaped_once() -> None:
    evidence = make_run(parted=["code/c1"])
    said = msgspec.structs.replace(
        evidence.arbitrations[0],
        context="a" * 100_000,
        target_piece="<b>\x1b",
        arm_piece="\\\u202e",
    )
    header = msgspec.structs.replace(evidence.header, environment={"cpu": HOSTILE})
    hostile = msgspec.structs.replace(evidence, arbitrations=(said,), header=header)
    text = assert_harmless(html.render(view(hostile))).text
    assert "⟦<b>\\x1b⟧ target: token 12" in text
    assert "⟦\\\\\\u202e⟧ candidate: token 77" in text
    assert "cpu <script>alert(1)</script>" in text


def test_backslashes_that_escape_already_are_not_doubled() -> None:
    assert html.printed("a\\n\\\\b") == "a\\n\\\\b"
    assert html.printed("नि\\") == "नि\\"


def test_a_long_line_is_cut_and_marked() -> None:
    text = html.render(hostile_view("\x00" * 100_000))
    assert len(text.encode()) < 100_000
    assert len(html.printed("x" * 100_000)) == html.MOST_CHARACTERS
    assert html.printed("x" * 100_000).endswith("…")
    assert html.printed("x" * html.MOST_CHARACTERS) == "x" * html.MOST_CHARACTERS


def many(count: int, *, found: str) -> RunView:
    shown = view(make_run(parted=["code/c1"]))
    case = msgspec.structs.replace(shown.appendix.cases[0], found=found)
    return msgspec.structs.replace(
        shown,
        problems=shown.problems[:1] * count,
        near_ties=shown.problems[:1] * count,
        appendix=msgspec.structs.replace(shown.appendix, cases=(case,) * count),
    )


def test_a_thousand_cases_stay_within_the_limit_and_are_all_there() -> None:
    text = html.render(many(1000, found="candidate diverged from target at output token 2 of 4"))
    assert len(text.encode()) <= html.MOST_BYTES
    assert text.count("suites/code.jsonl:3</td>") == 1000
    assert "… 950 more findings that did not pass in records.jsonl" in text
    assert "… 900 more near ties in records.jsonl" in text
    assert "more cases in" not in text


def test_rows_give_way_where_texts_are_long() -> None:
    text = html.render(many(1200, found='"' * 10_000))
    assert len(text.encode()) <= html.MOST_BYTES
    assert re.search(r"… \d+ more cases in records.jsonl", text)


def test_an_empty_run_renders() -> None:
    page = assert_harmless(html.render(view(make_evidence({}))))
    assert "Nothing was asked." in page.text


def test_jinja_is_imported_only_where_a_report_is_written() -> None:
    code = "import sys, equivcheck.report.write; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
