"""What is run, what is taken from the ledger, and what the verb says of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from equivcheck.cli import main as cli
from equivcheck.fault_matrix.job import jobs_of
from equivcheck.fault_matrix.ledger import append
from equivcheck.fault_matrix.matrix import longest_first, prove, sound_jobs
from equivcheck.fault_matrix.result import Result, Said
from equivcheck.fault_matrix.schedules import ROWS
from equivcheck.faults.catalogue import CONTROLS, find
from tests.unit.fault_matrix.make import make_control, make_result


def test_faults_and_controls_run_with_every_seed() -> None:
    entries = [find("no-trim"), find("sound-gamma-7")]
    jobs = jobs_of(entries, quick=True, seeds=3)
    assert [(job.id, job.seed, len(job.schedules)) for job in jobs] == [
        ("no-trim", 0, 1),
        ("no-trim", 1, 1),
        ("no-trim", 2, 1),
        ("sound-gamma-7", 0, 1),
        ("sound-gamma-7", 1, 1),
        ("sound-gamma-7", 2, 1),
    ]
    assert len({job.schedules for job in jobs[3:]}) == 3
    whole, further, sound, turn = jobs_of(entries, quick=False, seeds=2)
    assert set(whole.schedules) > {"plain", "sampled", "endings"}
    assert further.schedules == find("no-trim").asked
    assert sound.schedules == find("sound-gamma-7").asked
    assert len(turn.schedules) == 1
    assert len({job.digest for job in jobs}) == len(jobs)


def test_quick_asks_again_only_where_that_is_the_test() -> None:
    names = ("no-trim", "stream-by-row", "seed-from-clock", "sound")
    entries = [find(name) for name in names]
    quick = jobs_of(entries, quick=True, seeds=1)
    assert [job.brief for job in quick] == [True, False, False, False]
    assert [len(job.suites[0].cases) for job in quick] == [ROWS + 1, ROWS, ROWS, ROWS]
    assert not any(job.brief for job in jobs_of(entries, quick=False, seeds=2))


def test_one_capture_serves_all_faults_of_a_rig() -> None:
    names = ("no-trim", "verify-greedy", "state-not-restored", "draft-lacks-bonus", "leak-5")
    jobs = jobs_of([find(name) for name in names], quick=True, seeds=1)
    captures = {job.rig.name: job.schedules for job in sound_jobs(jobs)}
    assert captures == {
        "standard": ("plain", "sampled"),
        "recurrent": ("recurrent",),
        "speed-nativegamma2": ("drafts", "law"),
        "law": ("law",),
    }


def test_what_draws_many_tokens_comes_first() -> None:
    names = ("no-trim", "leak-5", "sound", "sound-rejection")
    jobs = jobs_of([find(name) for name in names], quick=True, seeds=1)
    ordered = [job.id for job in longest_first(jobs)]
    assert ordered == ["sound-rejection", "leak-5", "sound", "no-trim"]


def test_a_digest_holds_all_that_decides(tmp_path: Path) -> None:
    (job,) = jobs_of([find("no-trim")], quick=True, seeds=1)
    others = [
        job._replace(seed=1),
        job._replace(schedules=("sampled",)),
        job._replace(code="other"),
        job._replace(id="cache-reset"),
        job._replace(quick=False),
    ]
    assert len({each.digest for each in (job, *others)}) == 6
    assert job.digest == job._replace().digest


def test_what_the_ledger_holds_is_not_run_again(tmp_path: Path) -> None:
    jobs = jobs_of([find("no-trim")], quick=True, seeds=1)
    kept = make_result(cases=jobs[0].digest)
    for result in (make_result(id="other", cases="old"), kept):
        append(tmp_path, result)
    assert prove(jobs, tmp_path, workers=1) == [kept]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of one caught, one missed and one sound."""
    missed = make_result(
        id="cache-reset", said=Said.EQUIVALENT, caught=False, missing=("an event",)
    )
    for result in (make_control(), make_result(), missed):
        append(tmp_path, result)
    return tmp_path


def test_stored_results_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["faults", "--stored", "--out", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "✓ caught      F8       no-trim      greedy  after 1,234 tokens" in lines
    assert "✗ MISSED      F8       cache-reset  greedy" in lines
    assert "✓ equivalent  control  sound" in lines
    assert lines[-3].startswith("cache-reset: equivalent: NOT EQUIVALENT")
    assert lines[-3].endswith("did not occur: an event")
    assert lines[-2].startswith("1 of 2 seeded faults caught")
    assert lines[-1].startswith("without a result: ")


def test_one_document_for_machines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--only", "no-trim", "--only", "verify-greedy"]
    assert cli.run(["faults", "--stored", *asked, "--json", "--out", str(folder)]) == 3
    document = json.loads(capsys.readouterr().out)
    assert msgspec.convert(document["results"][0], Result) == make_result()
    assert (document["exit_code"], len(document["results"])) == (3, 1)
    assert document["missing"] == ["verify-greedy"]
    assert cli.run(["faults", "--stored", "--only", "no-trim", "--out", str(folder)]) == 0
    assert "without a result" not in capsys.readouterr().out


def test_seeds_of_a_fault_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missed = make_result(seed=2, said=Said.EQUIVALENT, caught=False, headline="nothing found")
    controls = [make_control(seed=seed) for seed in range(3)]
    for result in (make_result(tokens=8), make_result(seed=1, tokens=20), missed, *controls):
        append(tmp_path, result)
    verb = ["faults", "--stored", "--out", str(tmp_path)]
    assert cli.run(verb) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines[:2]] == [
        "✗ MISSED F8 no-trim greedy after 14 [8 to 20] tokens caught in 2 of 3 runs",
        "✓ 3 equivalent control sound accused in 0 of 3 runs",
    ]
    assert "no-trim with seed 2: equivalent: nothing found" in lines
    assert cli.run([*verb, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["detected"]["part"] == 2
    assert document["detected"]["interval"] == pytest.approx([0.0943, 0.9916], abs=1e-4)
    assert document["accused"]["interval"] == pytest.approx([0.0, 0.7076], abs=1e-4)
    assert document["tokens"] == {"answered": 14}
    assert document["entries"][0] == {
        "id": "no-trim",
        "runs": 3,
        "caught": 2,
        "accused": 3,
        "unit": "answered",
        "tokens": {"median": 14.0, "least": 8, "most": 20},
    }


@pytest.mark.parametrize(
    ("only", "ids"),
    [
        (["controls"], ["sound"]),
        (["faults"], ["no-trim"]),
        (["faults", "controls"], ["no-trim", "sound"]),
        (["F1", "controls"], ["leak-1", "sound"]),
        ([], ["no-trim", "sound"]),
    ],
)
def test_all_of_a_kind_have_a_name(
    only: list[str], ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for result in (make_result(), make_result(id="leak-1", family="F1"), make_control()):
        append(tmp_path, result)
    options = [part for name in only for part in ("--only", name)]
    assert cli.run(["faults", "--stored", "--out", str(tmp_path), "--json", *options]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in document["entries"]] == ids


def test_pages_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "page.md"
    page.write_text("<!-- faults-summary -->\n<!-- /faults-summary -->\n", encoding="utf-8")
    assert cli.run(["faults", "--stored", "--out", str(folder), "--render", str(page)]) == 1
    assert "1 of 2 seeded faults caught" in page.read_text(encoding="utf-8")
    assert f"{page}: wrote faults-summary" in capsys.readouterr().err


def test_a_wrong_name_gets_a_suggestion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["faults", "--only", "no-trimm", "--out", str(tmp_path)]) == 2
    assert "did you mean 'no-trim'" in capsys.readouterr().err


def test_controls_are_many() -> None:
    assert {"sound", "unpromised-noise", "perfect-draft", "terrible-draft", "empty-drafts"} <= {
        entry.id for entry in CONTROLS
    }
