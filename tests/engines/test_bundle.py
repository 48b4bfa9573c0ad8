"""A bundle repeats what a run found: in a clean process, and no longer once it is mended."""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from equivcheck.cli.bundle import command
from equivcheck.core.errors import RecordsError
from equivcheck.core.load_suites import load_suites
from equivcheck.core.settings import Settings
from equivcheck.pipeline.bundle import MOST_BYTES, bundle
from equivcheck.pipeline.bundle_event import event_of, share_of
from equivcheck.pipeline.repeating import repeat
from equivcheck.pipeline.repeating.answers import RepeatedAnswer
from equivcheck.pipeline.repeating.counting import placing
from equivcheck.pipeline.run import run
from equivcheck.records.records import Evidence
from equivcheck.records.records_file import read_evidence
from equivcheck.records.sample_keys import parse_draw

SUITE = """\
{"equivcheck": 1, "workload": "few", "description": "A few prompts."}
{"id": "clamp", "prompt": "def clamp(value, low, high):\\n", "max_new_tokens": 8}
{"id": "sql", "prompt": "SELECT country, COUNT(*) AS customers", "max_new_tokens": 8}
"""
DISTRIBUTION = """\
{"equivcheck": 1, "workload": "law", "description": "Drawn many times.", "law": true}
{"id": "prose", "prompt": "The lighthouse keeper had", "max_new_tokens": 24, \
"sampling": {"temperature": 1.0}}
{"id": "cuts", "prompt": "We left the village", "max_new_tokens": 24, \
"sampling": {"temperature": 1.0, "top_k": 60, "top_p": 0.95, "min_p": 0.02}}
"""
FAULTY = "native:gamma=4,fault=skip-first-check"
RECKLESS = "native:gamma=4,rule=rejection,fault=accepts-every-draft"


def captured(folder: Path, suite: str, **settings: Any) -> Evidence:
    file = folder / "suite.jsonl"
    file.write_text(suite, encoding="utf-8")
    setup = Settings().setup
    run(Settings(setup=setup, **settings), load_suites([file]), folder / "run", resume=False)
    return read_evidence(folder / "run")


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evidence]:
    folder = tmp_path_factory.mktemp("diverged")
    return folder, captured(folder, SUITE, candidate=FAULTY, sampled=None)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return captured(tmp_path_factory.mktemp("drawn"), DISTRIBUTION, candidate=RECKLESS)


def unpacked(data: bytes, folder: Path) -> Path:
    packed = folder / "bundle.zip"
    packed.write_bytes(data)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder / "bundle")
    return folder / "bundle"


def repeated(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a process of its own, from another folder."""
    return subprocess.run(
        [sys.executable, str(folder / "repeat.py"), *options],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
    )


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the script in this process, which has its libraries loaded."""

    def run(folder: Path, *options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["repeat.py", *options])
        code = runpy.run_path(str(folder / "repeat.py"))["main"]()
        return code, capsys.readouterr().out

    return run


def test_a_divergence_is_there_and_gone_with_a_sound_decoder(
    diverged: tuple[Path, Evidence], tmp_path: Path, here: Run
) -> None:
    made = bundle(diverged[1], "few/sql")
    assert len(made.data) < MOST_BYTES
    assert sorted(made.files) == ["README.md", "bundle.json", "evidence.json", "repeat.py"]
    folder = unpacked(made.data, tmp_path)
    there = repeated(folder)
    assert there.returncode == 1, there.stderr
    assert "THE BUG IS THERE: few/sql parts at output token" in there.stdout
    gone, said = here(folder, "--candidate", "native:gamma=4")
    assert gone == 0, said
    assert "few/sql: the same 8 token ids" in said


def test_the_report_says_what_where_how_often_and_what_else(
    diverged: tuple[Path, Evidence], tmp_path: Path, here: Run
) -> None:
    folder = unpacked(bundle(diverged[1], "few/sql").data, tmp_path)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {FAULTY} answers with other tokens than plain decoding\n")
    for part in (
        "candidate diverged from target at output token",
        "- `greedy` on `few`: fail, 0 of 2 cases identical, 2 diverged",
        "- plain decoding of the target at another width: the same as the target's answer",
        "- a near tie: by transformers float32 the two tokens",
        "- torch: ",
        "- cpu: ",
        "python repeat.py",
    ):
        assert part in text


def test_generate_takes_the_place_of_both_engines(
    diverged: tuple[Path, Evidence], tmp_path: Path, here: Run
) -> None:
    folder = unpacked(bundle(diverged[1], "few/sql").data, tmp_path)
    engines = ("--candidate", "transformers:mode=assisted,gamma=3", "--target", "transformers")
    code, said = here(folder, *engines)
    assert code == 0, said


def test_an_engine_that_is_missing_is_no_verdict(
    diverged: tuple[Path, Evidence], tmp_path: Path, here: Run
) -> None:
    folder = unpacked(bundle(diverged[1], "few/sql").data, tmp_path)
    code, said = here(folder, "--candidate", "nobodys:gamma=4")
    assert code == 2
    assert "CANNOT BE REPEATED HERE: EngineError: no engine" in said
    folder.joinpath("bundle.json").write_text("{", encoding="utf-8")
    assert here(folder)[0] == 2


def test_redacted_it_holds_no_prompt_and_no_answer(
    diverged: tuple[Path, Evidence], tmp_path: Path, here: Run
) -> None:
    home, evidence = diverged
    folder = unpacked(bundle(evidence, "few/sql", redact=True).data, tmp_path)
    ids = evidence.asked["few/sql"].request.prompt_ids
    answer = evidence.captured["candidate"]["few/sql"]
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        plain = text.replace("\n", "").replace(" ", "")
        for tokens in (ids, answer.generation.token_ids):
            assert ",".join(map(str, tokens)) not in plain
        assert "COUNT(*)" not in text
        assert answer.text.strip() not in text
    assert here(folder)[0] == 2
    records = str(home / "run" / "records.jsonl")
    assert here(folder, "--records", records)[0] == 1
    other = tmp_path / "other.jsonl"
    other.write_text(Path(records).read_text("utf-8").replace('"prompt_ids":[', '"prompt_ids":[1,'))
    code, said = here(folder, "--records", str(other))
    assert code == 2
    assert "is not the one that was asked" in said


def test_prompts_are_shown_before_anything_is_written(
    diverged: tuple[Path, Evidence], tmp_path: Path, here: Run
) -> None:
    run_folder, out = str(diverged[0] / "run"), tmp_path / "it.zip"

    def asked(*options: str) -> Any:
        arguments = [run_folder, "few/sql", "--out", str(out), *options]
        return CliRunner().invoke(command, arguments, standalone_mode=False)

    first = asked()
    assert first.return_value == 2
    assert "few/sql: SELECT country, COUNT(*) AS customers" in first.output
    assert not out.exists()
    assert asked("--yes").return_value == 0
    assert out.exists()
    out.unlink()
    assert "SELECT" not in asked("--redact").output
    told = json.loads(asked("--yes", "--json").output)
    assert (told["prompts"], told["written"]) == (["few/sql"], str(out))


def test_what_passed_has_no_bundle(diverged: tuple[Path, Evidence], tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"has no case 'few/slq' .did you mean 'few/sql'"):
        bundle(diverged[1], "few/slq")
    sound = captured(tmp_path, SUITE, candidate="native:gamma=2", sampled=None)
    with pytest.raises(RecordsError, match="nothing failed that a script can repeat"):
        bundle(sound)


def test_a_wrong_distribution_is_there_and_gone_with_a_sound_decoder(
    drawn: Evidence, tmp_path: Path, here: Run
) -> None:
    made = bundle(drawn)
    assert made.subject.kind == "draws"
    folder = unpacked(made.data, tmp_path)
    there = repeated(folder)
    assert there.returncode == 1, there.stdout + there.stderr
    assert "or more such tokens come by chance once in 1,000,000 times" in there.stdout
    code, said = here(folder, "--candidate", "native:gamma=4,rule=rejection", "--seed", "7")
    assert code == 0, said


def test_the_scripts_places_are_those_that_scoring_found(drawn: Evidence) -> None:
    assert drawn.scores is not None
    columns = {"id": "pit_vocabulary", "probability": "pit_rank", "ratio": "pit_ratio"}

    class Noise:
        def __init__(self, value: float) -> None:
            self.value = value

        def random(self) -> float:
            return self.value

    facts = {"models": {}, "setup": {"pair": "tiny", "dtype": "float32"}}
    for order, column in columns.items():
        place_of = placing(facts, order=order)
        for output, key in enumerate(drawn.scores.keys):
            request = drawn.asked[parse_draw(key).case].request
            distribution = {
                name: getattr(request.sampling, name)
                for name in ("temperature", "top_k", "top_p", "min_p")
            }
            asked = {"prompt_ids": list(request.prompt_ids), "sampling": distribution}
            answer = list(drawn.draws["sampled"][key].token_ids)
            low, high = (place_of(asked, answer, Noise(value)) for value in (0.0, 1.0))
            start = int(drawn.scores.starts[output])
            stored = getattr(drawn.scores, column)[start : start + len(answer)]
            for least, place, most in zip(low, stored, high, strict=True):
                assert least - 1e-4 <= place <= most + 1e-4


def test_a_near_tie_is_no_bug_where_arithmetic_may_differ(
    diverged: tuple[Path, Evidence], capsys: pytest.CaptureFixture[str]
) -> None:
    request = diverged[1].asked["few/sql"].request
    best, wrong = (
        diverged[1].captured[arm]["few/sql"].generation.token_ids[0]
        for arm in ("target", "candidate")
    )
    facts: dict[str, Any] = {
        **{"key": "few/sql", "exact": False, "parted": None, "near_tie_ulps": 8.0},
        **{"models": {}, "setup": {"pair": "tiny", "dtype": "float32"}},
        "engines": {"target": "native:gamma=0"},
        "requests": [{"key": "few/sql", "prompt_ids": list(request.prompt_ids)}],
    }

    def code(**changed: Any) -> int:
        asks = [
            lambda batch, token=token: {"few/sql": RepeatedAnswer([token])}
            for token in (wrong, best)
        ]
        return repeat.repeat_tokens(facts | changed, *asks)

    assert code() == 1
    # So many steps that any gap is within them.
    assert code(near_tie_ulps=1e9) == 2
    assert "NOT DECIDED, a near tie of " in capsys.readouterr().out
    assert code(near_tie_ulps=1e9, exact=True) == 1
    assert code(near_tie_ulps=1e9, parted=[0, wrong, best]) == 1
    assert code(near_tie_ulps=1e9, parted=[0, best, wrong]) == 2
    assert code(models={"target": "/nowhere"}) == 2


def test_no_event_is_made_of_draws_that_follow_the_target(drawn: Evidence) -> None:
    assert drawn.scores is not None
    generator = np.random.default_rng(5)
    uniform = [generator.random(drawn.scores.rows, dtype=np.float32) for _ in range(3)]
    scores = dataclasses.replace(
        drawn.scores, pit_vocabulary=uniform[0], pit_rank=uniform[1], pit_ratio=uniform[2]
    )
    sound = msgspec.structs.replace(drawn, scores=scores)
    batch = tuple(asked.request for asked in drawn.asked.values())
    with pytest.raises(RecordsError, match="no one event of the stored draws stands out"):
        event_of(sound, batch, case="")
    found = event_of(drawn, batch, case="")
    assert found.seen > found.of * share_of(found)
