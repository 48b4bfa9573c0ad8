"""The matrix in numbers and in Markdown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.core.errors import EquivcheckError
from equivcheck.core.findings import Interval, Outcome
from equivcheck.fault_matrix.degradation import Degradation
from equivcheck.fault_matrix.render import SECTIONS, render
from equivcheck.fault_matrix.result import Said
from equivcheck.fault_matrix.tally import sentence, tally
from tests.unit.fault_matrix.make import make_control, make_result
from tests.unit.source import ROOT

SLOW = make_result(
    id="draft-late",
    family="F20",
    breaks="speed",
    caught_by="acceptance",
    checks={"greedy": Outcome.PASS},
    said=Said.DEGRADED,
    accused=False,
    requests=None,
    tokens=None,
    degradations=(
        Degradation(workload="drafts", sound=0.5, rate=0.25, interval=Interval(-0.3, -0.2)),
    ),
)
MISSED = make_result(id="quiet", said=Said.EQUIVALENT, caught=False, accused=False)


def test_counts() -> None:
    counted = tally([make_result(), SLOW, make_control(), make_control(seed=1)])
    assert sentence(counted) == (
        "2 of 2 seeded faults caught (losslessness 1 of 1, speed only 1 of 1), in 2 of 2 runs "
        "(95 % interval of the rate: 15.8 % to 100.0 %). "
        "The median fault is seen after 1,234 tokens answered. "
        "0 of 2 control runs accused: false alarms in at most 84.2 % of runs, by the 95 % interval"
    )
    assert counted.exit_code == 0
    assert sentence(tally([])) == "nothing was run"


def test_one_missed_run_makes_a_missed_fault() -> None:
    missed = make_result(seed=1, said=Said.EQUIVALENT, caught=False)
    drawn = make_result(id="leak-5", caught_by="sampled", tokens=7112)
    counted = tally([make_result(), missed, drawn])
    assert (counted.missed, counted.exit_code) == (("no-trim",), 1)
    assert sentence(counted) == (
        "1 of 2 seeded faults caught (losslessness 1 of 2), in 2 of 3 runs "
        "(95 % interval of the rate: 9.4 % to 99.2 %). "
        "The median fault is seen after 1,234 tokens answered, "
        "or 7,112 tokens drawn where the distribution is tested"
    )


def test_a_worse_drafter_that_is_accused_is_a_false_alarm() -> None:
    accused = msgspec.structs.replace(
        SLOW, accused=True, caught=False, said=Said.NOT_EQUIVALENT, checks={"sampled": Outcome.FAIL}
    )
    counted = tally([make_result(), accused])
    assert (counted.wrongly_accused, counted.missed) == (("draft-late",), ("draft-late",))
    assert counted.exit_code == 1
    assert tally([make_result(), SLOW]).wrongly_accused == ()


def test_seeds_share_a_row(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- faults-matrix -->\n<!-- /faults-matrix -->\n", encoding="utf-8")
    render(path, [make_result(tokens=8), make_result(seed=1, tokens=31)])
    page = path.read_text(encoding="utf-8")
    assert "| `no-trim` | [✗] | ? |  | not equivalent | 2 of 2 | 20 [8 to 31] |" in page
    missed = make_result(seed=2, said=Said.INCONCLUSIVE, caught=False)
    render(path, [make_result(tokens=8), missed])
    page = path.read_text(encoding="utf-8")
    assert "| **missed**: inconclusive | 1 of 2 | 8 |" in page


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (MISSED, 1),
        (make_control(accused=True, caught=False, said=Said.ACCOUNTING), 1),
        (make_control(caught=False, said=Said.BROKE), 1),
        (make_control(caught=False, said=Said.INCONCLUSIVE), 3),
        (make_control(said=Said.NOT_TESTED), 0),
    ],
)
def test_exit_codes(result: object, code: int) -> None:
    assert tally([make_result(), result]).exit_code == code  # type: ignore[list-item]


def test_markers_are_filled_and_nothing_else_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    parts = [f"before {name}\n<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in SECTIONS]
    path.write_text("".join(parts), encoding="utf-8")
    results = [make_result(id="skip-first-check"), SLOW, MISSED, make_control()]
    assert render(path, results) == list(SECTIONS)
    once = path.read_text(encoding="utf-8")
    assert "old" not in once
    assert once.count("before ") == len(SECTIONS)
    assert "(2026-11-24, commit abcdef0)." in once
    assert "| F8 | `skip-first-check` | [✗] | ? |  | not equivalent | 1 of 1 | 1,234 |" in once
    assert "| 0.50 → 0.25 | lossless, draft degraded | 1 of 1 |  |" in once
    assert "**missed**: equivalent" in once
    assert "| F8 | cache rollback | 1 of 2 | `greedy` 2 |" in once
    assert "| F20 | draft quality | 1 of 1 | `acceptance` 1 |" in once
    assert "```text\n✗ fail plain/01 · greedy\n  candidate | diverged\n```" in once
    assert "| `sound` | Trimming does nothing | `native:gamma=4` | 1 | 0 | 1 equivalent |" in once
    render(path, results)
    assert path.read_text(encoding="utf-8") == once


def test_the_committed_pages_have_every_section() -> None:
    pages = [ROOT / name for name in ("README.md", "docs/faults.md", "reports/faults/README.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in SECTIONS if f"<!-- {name} -->\n" not in text] == []
    assert "| F8 | cache rollback | " in text


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("nothing here\n", encoding="utf-8")
    with pytest.raises(EquivcheckError, match="has none of the markers <!-- faults-summary -->"):
        render(path, [make_result()])
    with pytest.raises(EquivcheckError, match="cannot be read: No such file"):
        render(tmp_path / "other.md", [make_result()])
