"""Draws changed after they were scored: refused, whichever token it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from equivcheck.capture.draws.keep_scores import keep_scores
from equivcheck.cli.main import run
from equivcheck.records.records import CANDIDATE, SAMPLED, TARGET, SampleRecord
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter
from equivcheck.records.sample_keys import drawn_request
from tests.attack.make import change
from tests.unit.capture.draws.fakes import CASES, Dice, make_table
from tests.unit.make import make_asked, make_capabilities, make_header

ROUNDS = 8


def make_drawn_run(folder: Path) -> Path:
    """Draws and their scores as capture leaves them, with no answer beside them."""
    arms = dict.fromkeys((TARGET, CANDIDATE, SAMPLED), make_capabilities(rule="rejection"))
    keys = [case.key for case in CASES]
    header = make_header(arms=arms, planned={TARGET: keys, CANDIDATE: keys, SAMPLED: keys})
    asked = [
        drawn_request(case, round=number, seed=0) for number in range(1, ROUNDS) for case in CASES
    ]
    drawn = [(request, Dice().answer(request)) for request in asked]
    with RecordsWriter.create(folder / RECORDS_NAME, header) as writer:
        writer.append(*map(make_asked, CASES))
        writer.append(*(SampleRecord(arm=SAMPLED, generation=answer) for _, answer in drawn))
        outputs = {answer.key: answer for _, answer in drawn}
        keep_scores(folder, make_table(drawn), outputs, writer=writer)
    return folder / RECORDS_NAME


def test_a_changed_draw_is_refused_whichever_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_drawn_run(tmp_path)
    assert run(["judge", str(path)]) in (1, 3)
    whole = path.read_text(encoding="utf-8")
    chance = random.Random(1)
    for _ in range(40):
        path.write_text(whole, encoding="utf-8")
        line = chance.randint(2 + len(CASES), 1 + len(CASES) + len(CASES) * (ROUNDS - 1))

        def flip(record: dict[str, dict[str, list[int]]]) -> None:
            tokens = record["generation"]["token_ids"]
            tokens[chance.randrange(len(tokens))] ^= 1

        change(path, line, flip)
        capsys.readouterr()
        assert run(["judge", str(path)]) == 2
        assert "draws were changed after they were scored" in capsys.readouterr().err
