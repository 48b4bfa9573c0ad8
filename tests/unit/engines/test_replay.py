"""The replay engine: recorded answers to the recorded requests, and to nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, RecordsError, SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.records.records_file import RecordsWriter
from tests.unit.make import make_asked, make_captured, make_generation, make_header, make_request

GREEDY = make_request("code/one")
SAMPLED = make_request("code/two", sampling=Sampling(temperature=1.0), seed=5)
ANSWERS = [make_generation(key=key) for key in ("code/one", "code/two")]
SETUP = EngineSetup()


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    keys = ("code/one", "code/two", "code/three")
    with RecordsWriter.create(path, make_header(planned={TARGET: keys, CANDIDATE: keys})) as writer:
        writer.append(make_asked(GREEDY), make_asked(SAMPLED))
        writer.append(*(make_captured(CANDIDATE, answer) for answer in ANSWERS))
    return path


def test_recorded_answers_come_back(records: Path) -> None:
    engine = load_engine(f"replay:file={records},arm=candidate", SETUP)
    assert list(engine.generate([SAMPLED, GREEDY])) == ANSWERS[::-1]
    engine.close()


def test_it_is_what_it_recorded(records: Path) -> None:
    told = load_engine(f"replay:file={records.parent}", SETUP).capabilities
    assert told.num_speculative_tokens == 4
    assert told.engine == f"replay:file={records.parent},arm=candidate"
    assert told.notes[0] == "recorded from native:gamma=4 in run run-1"
    assert told.recorded == "native:gamma=4"


@pytest.mark.parametrize(
    ("request_", "changes", "complaint"),
    [
        (GREEDY, {"key": "code/three"}, "candidate has no answer for 'code/three'"),
        (GREEDY, {"prompt_ids": (5, 6)}, "asked 'code/one' with another prompt_ids"),
        (GREEDY, {"sampling": Sampling(min_p=0.1)}, "with another sampling"),
        (GREEDY, {"max_new_tokens": 5}, "with another max_new_tokens"),
        (GREEDY, {"stop": ("x",)}, "with another stop"),
        (SAMPLED, {"seed": 6}, "asked 'code/two' with another seed"),
    ],
)
def test_what_was_not_asked_then_is_refused(
    records: Path, request_: Any, changes: dict[str, Any], complaint: str
) -> None:
    engine = load_engine(f"replay:file={records}", SETUP)
    with pytest.raises(EngineError, match=complaint):
        list(engine.generate([msgspec.structs.replace(request_, **changes)]))


def test_a_greedy_answer_does_not_hang_on_the_seed(records: Path) -> None:
    engine = load_engine(f"replay:file={records}", SETUP)
    assert list(engine.generate([msgspec.structs.replace(GREEDY, seed=77)])) == ANSWERS[:1]


@pytest.mark.parametrize(
    ("spec", "error", "complaint"),
    [
        ("replay", SettingsError, "engine replay: file: missing"),
        ("replay:file=/nowhere/at/all", RecordsError, "no such records file"),
        ("replay:file={},arm=candidat", EngineError, r"did you mean 'candidate'\?"),
    ],
)
def test_what_cannot_be_opened(
    records: Path, spec: str, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        load_engine(spec.format(records), SETUP)


def test_another_pair_is_refused(records: Path) -> None:
    with pytest.raises(EngineError, match="recorded with pair 'tiny', not 'smollm2'"):
        load_engine(f"replay:file={records}", EngineSetup(pair="smollm2"))
