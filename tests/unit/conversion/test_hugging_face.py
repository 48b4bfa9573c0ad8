"""Data sets of Hugging Face on disk: saved ones, Parquet, and a folder that the library reads."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import pytest

from equivcheck.conversion.convert import Wanted, convert
from equivcheck.conversion.hugging_face import is_dataset
from equivcheck.core.errors import SuiteError
from equivcheck.core.extras import missing

PROBLEMS = [
    {"question": "Two and two?", "answer": "It is\n#### 4", "at": datetime.date(2026, 1, 2)},
    {"question": "Three and four?", "answer": "It is\n#### 7", "at": datetime.date(2026, 1, 3)},
]


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets")


def test_a_saved_one_becomes_the_cases_of_its_rows(datasets: Any, tmp_path: Path) -> None:
    datasets.Dataset.from_list(PROBLEMS).save_to_disk(str(tmp_path / "gsm8k"))
    made = convert(tmp_path / "gsm8k", Wanted())
    assert (made.format, made.records, made.suites[0].workload) == ("gsm8k", 2, "gsm8k")
    assert "Two and two?" in made.suites[0].text
    lost = [loss.what for loss in made.not_carried]
    assert lost == ["answer, but for its last number", "at"]


def test_one_of_several_splits_has_to_be_named(datasets: Any, tmp_path: Path) -> None:
    of = datasets.Dataset.from_list
    both = datasets.DatasetDict(train=of(PROBLEMS), test=of(PROBLEMS[:1]))
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.raises(SuiteError, match="it has train, test; name one with --split"):
        convert(tmp_path / "both", Wanted())
    with pytest.raises(SuiteError, match="did you mean 'test'"):
        convert(tmp_path / "both", Wanted(split="tests"))
    assert convert(tmp_path / "both", Wanted(split="test")).records == 1


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_parquet_by_itself_and_in_a_folder(datasets: Any, tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "mt" / "questions.parquet"
    file.parent.mkdir()
    rows = [{"turns": ["Hello", "And now?"], "category": "chat"}] * 3
    datasets.Dataset.from_list(rows).to_parquet(str(file))
    made = convert(Path(f"hf:{file.parent}") if prefix else file, Wanted())
    assert (made.format, made.records, made.suites[0].cases) == ("questions", 3, 6)


def test_what_cannot_be_loaded_is_one_sentence(datasets: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1\x15\x04")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "broken.parquet", Path(f"hf:{tmp_path / 'empty'}")):
        with pytest.raises(SuiteError, match="cannot be loaded"):
            convert(path, Wanted())


def test_the_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        convert(tmp_path / "rows.parquet", Wanted())
    assert "pip install 'equivcheck[datasets]'" in str(missing(raised.value))


def test_other_files_are_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text("")
    assert not is_dataset(tmp_path / "requests.jsonl")
    assert not is_dataset(tmp_path)
