"""What a reader sees: whole reports, held against stored ones."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from equivcheck.checks.verdict import judge
from equivcheck.core.escape import width
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET, Arbitration, Evidence
from equivcheck.report import markdown, terminal
from equivcheck.report.blocks import block_lines
from equivcheck.report.layout import acceptance_words, columns, workload_cells
from equivcheck.report.view import RunView, view_of
from equivcheck.report.write import write_reports
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_evidence,
    make_generation,
    make_steps,
)

WORKLOADS = ("code", "json_sql", "chat", "multilingual", "creative")
SAME, OTHER = (10, 11, 12, 13), (10, 11, 77, 78)


def answers(parted: Sequence[str] = (), *, speculative: bool = False) -> list[Generation]:
    return [
        answer(f"{workload}/c{index}", index, parted=parted, speculative=speculative)
        for workload in WORKLOADS
        for index in range(4)
    ]


def answer(key: str, index: int, *, parted: Sequence[str], speculative: bool) -> Generation:
    tokens, rival = (OTHER, 12) if key in parted else (SAME, 77)
    blocks = [(2, 2), (2, 0)] if index % 2 else [(2, 1), (1, 1)]
    return make_generation(
        tokens,
        key=key,
        steps=make_steps(*(blocks if speculative else [(0, 0)] * 4)),
        scores=[(-0.1, 5, -3.0), (-0.1, 5, -3.0), (-0.7, rival, -0.75), (-0.1, 5, -3.0)],
    )


def tie(key: str) -> Arbitration:
    return make_arbitration(
        key=key,
        context="def fib(n):\n    return fib(n - 1) +",
        target_piece=" fib",
        arm_piece=" f",
        best=12,
        best_logprob=-0.7,
    )


def make_run(
    *, parted: Sequence[str] = (), contract: str | None = "fixed-shape", planned: int = 4
) -> Evidence:
    plain = make_capabilities(identity=contract, reports_steps=True, reports_scores=True)
    keys = [f"{workload}/c{index}" for workload in WORKLOADS for index in range(planned)]
    return make_evidence(
        {
            TARGET: answers(),
            CANDIDATE: answers(parted, speculative=True),
            CONTROL: answers(parted[:1]),
        },
        arms={
            TARGET: plain,
            CANDIDATE: msgspec.structs.replace(
                plain, engine="native:gamma=2", num_speculative_tokens=2
            ),
            CONTROL: plain,
        },
        planned=dict.fromkeys((TARGET, CANDIDATE, CONTROL), keys),
        settings=Settings(setup=EngineSetup(dtype="bfloat16")),
        arbitrations=[tie(key) for key in parted],
        environment={"python": "3.11.2", "torch": "2.13.0", "cpu": "Xeon", "cores": "2"},
        git_commit="0123456789abcdef",
        git_dirty=True,
    )


def view(evidence: Evidence) -> RunView:
    return view_of(evidence, judge(evidence))


RUNS = {
    "pass": {},
    "diverged": {"parted": ["code/c1", "chat/c0"]},
    "near-tie": {"parted": ["code/c1"], "contract": None},
    "unfinished": {"planned": 6},
}


@pytest.mark.parametrize("name", RUNS)
def test_terminal(name: str, snapshot: SnapshotAssertion) -> None:
    text = terminal.render(view(make_run(**RUNS[name])))  # type: ignore[arg-type]
    assert text == snapshot
    assert all(width(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("name", RUNS)
def test_markdown(name: str, snapshot: SnapshotAssertion) -> None:
    assert markdown.render(view(make_run(**RUNS[name]))) == snapshot  # type: ignore[arg-type]


def test_a_pass_fits_one_screen() -> None:
    assert len(terminal.render(view(make_run())).splitlines()) <= 40


def test_every_divergence_fits_25_lines() -> None:
    shown = view(make_run(parted=["code/c1"]))
    for block in shown.problems:
        assert len(list(block_lines(block.finding, where=block.where))) <= 25


def test_the_first_to_part_comes_first_and_what_sums_up_is_left_out() -> None:
    evidence = make_run(parted=["code/c1", "chat/c0"])
    captured = {arm: dict(found) for arm, found in evidence.captured.items()}
    earlier = make_generation((9, *SAME[1:]), key="chat/c0", steps=make_steps((2, 2), (2, 0)))
    captured[CANDIDATE]["chat/c0"] = msgspec.structs.replace(
        captured[CANDIDATE]["chat/c0"], generation=earlier
    )
    shown = view(msgspec.structs.replace(evidence, captured=captured))
    assert [block.finding.subject for block in shown.problems] == ["chat/c0", "code/c1"]
    assert shown.problems[1].where == "suites/code.jsonl:3"


def test_many_problems_are_bounded_and_counted() -> None:
    keys = [f"{workload}/c{index}" for workload in WORKLOADS for index in range(4)]
    shown = view(make_run(parted=keys))
    text = terminal.render(shown)
    assert text.count("repeat: ") == terminal.MOST_BLOCKS
    assert "… 15 more findings that did not pass in records.jsonl" in text
    assert "… 10 more in records.jsonl" in markdown.render(shown)
    ties = view(make_run(parted=keys[:8], contract=None))
    assert "… 3 more near ties in records.jsonl" in terminal.render(ties)


def test_long_evidence_is_bounded() -> None:
    finding = Finding(
        check="greedy",
        subject="code/a",
        outcome=Outcome.FAIL,
        reason=Reason.DIVERGED,
        headline="x" * 1000,
        details=("y" * 1000,) * 100,
    )
    lines = list(block_lines(finding))
    assert len(lines) <= 40
    assert all(width(line) <= 100 for line in lines)
    assert lines[-1] == "    … 95 more lines in records.jsonl"


def test_reasons_are_wrapped_and_not_cut() -> None:
    reason = "so: both arms name the identity contract " + " ".join(["packed"] * 30)
    finding = Finding(
        check="greedy",
        subject="code/a",
        outcome=Outcome.FAIL,
        reason=Reason.DIVERGED,
        headline=reason,
        details=(reason, "second"),
    )
    lines = list(block_lines(finding))
    assert "…" not in "".join(lines)
    assert " ".join(" ".join(lines[1:-1]).split()) == f"{reason} {reason}"
    assert all(width(line) <= 100 for line in lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_and_only_over_the_same_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = view(make_run(parted=["code/c1"]))
    pipe, screen = io.StringIO(), Terminal()
    terminal.show(shown, pipe)
    terminal.show(shown, screen)
    assert pipe.getvalue() == terminal.render(shown)
    assert "\x1b[" in screen.getvalue()
    from rich.text import Text

    assert Text.from_ansi(screen.getvalue()).plain.rstrip("\n") == pipe.getvalue().rstrip("\n")
    monkeypatch.setenv("NO_COLOR", "1")
    bare = Terminal()
    terminal.show(shown, bare)
    assert "\x1b[3" not in bare.getvalue()


@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_hostile_output_reaches_no_face(text: str) -> None:
    evidence = make_run(parted=["code/c1"])
    hostile = msgspec.structs.replace(
        evidence.arbitrations[0], context=text, target_piece=text, arm_piece=text, reference=text
    )
    shown = view(msgspec.structs.replace(evidence, arbitrations=(hostile,)))
    for rendered in (terminal.render(shown), markdown.render(shown)):
        for line in rendered.splitlines():
            assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in line)
    fences = [line for line in markdown.render(shown).splitlines() if line.startswith("```")]
    assert len(fences) == 2


def test_a_fence_is_longer_than_any_inside() -> None:
    evidence = make_run(parted=["code/c1"])
    ticks = msgspec.structs.replace(evidence.arbitrations[0], arm_piece="`````")
    text = markdown.render(view(msgspec.structs.replace(evidence, arbitrations=(ticks,))))
    assert "\n``````text\n" in text


def test_markdown_specials_are_literal() -> None:
    assert markdown.escape("a|b <i> `x` *y* [z]") == "a\\|b \\<i\\> \\`x\\` \\*y\\* \\[z\\]"


def test_columns_count_cells_not_characters() -> None:
    assert columns([]) == []
    assert columns([("日本", "x"), ("abcd", "y")]) == ["日本  x", "abcd  y"]
    assert columns([("a" * 50, "b" * 50)], last_cells=3) == ["a" * 39 + "…  bb…"]


def test_reports_are_written_beside_the_records(tmp_path: Path) -> None:
    shown = view(make_run())
    for _ in range(2):
        paths = write_reports(tmp_path / "run", shown)
        assert [path.name for path in paths] == ["report.txt", "report.md", "report.html"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in paths}
    assert paths[0].read_text(encoding="utf-8") == terminal.render(shown, most_blocks=50)


def test_an_empty_run_renders() -> None:
    shown = view(make_evidence({}))
    assert shown.workloads == ()
    assert terminal.render(shown).startswith("INCONCLUSIVE — complete: nothing was compared")
    assert "native" not in shown.arms
    assert markdown.render(shown).startswith("## INCONCLUSIVE")


def test_what_is_not_known_is_not_a_number() -> None:
    row = view(make_run()).workloads[0]
    alone = msgspec.structs.replace(row, acceptance_interval=None, tokens_per_step=None, cases=0)
    assert workload_cells(alone)[2:] == ("not compared", "16", "0.57", "n/a")
    assert acceptance_words(msgspec.structs.replace(row, acceptance=None)) == "n/a"
