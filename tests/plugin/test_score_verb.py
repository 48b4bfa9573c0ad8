"""``equivcheck score`` as users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli.main import run

LOGS = Path(__file__).parents[1] / "unit" / "evaluations" / "logs"


def test_the_verdict_is_the_first_line_and_the_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    arms = ["--a", str(LOGS / "harness-a.jsonl"), "--b", str(LOGS / "harness-a.jsonl")]
    assert run(["score", *arms]) == 0
    assert capfd.readouterr().out.startswith("EQUIVALENT — the same text on 12 of 12 answers\n")
    arms[3] = str(LOGS / "harness-b.jsonl")
    assert run(["score", *arms]) == 3
    told = capfd.readouterr().out
    assert told.startswith("INCONCLUSIVE — harness-a.jsonl exact_match (last): a loss over 0.02")
    assert "other texts: harness-a.jsonl/5\n" in told
    assert f"equivcheck suite from {LOGS / 'harness-b.jsonl'}\n" in told
    assert run(["score", *arms, "--json"]) == 3
    document = json.loads(capfd.readouterr().out)
    assert document["exit_code"] == 3
    assert document["metrics"][0]["only_a"] == 1


def test_a_loss_exits_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arm, right in (("a", 1), ("b", 0)):
        lines = (
            {"doc_id": at, "resps": [[f"{right}\x1b[2J"]], "metrics": ["acc"], "acc": right}
            for at in range(40)
        )
        path = tmp_path / arm / "samples_t\x1b[31m.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(["score", "--a", str(tmp_path / "a"), "--b", str(tmp_path / "b")]) == 1
    told = capfd.readouterr().out
    assert told.startswith("NOT EQUIVALENT — t")
    assert "differs: p = 1.8e-12, fails at 0.001" in told
    assert "\x1b" not in told


def test_a_plan_says_which_loss_shows_before_anything_is_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["score", "--plan", "1319"]) == 0
    assert "a loss of 2.5% of all prompts, where 5% of prompts" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name both arms"),
        (["--a", "none", "--b", "none"], "none: no such file"),
    ],
)
def test_what_cannot_be_read_exits_2(
    arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["score", *arguments]) == 2
    assert told in capfd.readouterr().err
