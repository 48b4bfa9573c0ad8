from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from equivcheck.core.errors import SuiteError
from equivcheck.evaluations.compare import compare
from equivcheck.evaluations.read import read_evaluation, task_of

LOGS = Path(__file__).parent / "logs"


def test_a_log_of_the_harness_has_a_metric_for_each_filter() -> None:
    (task,) = read_evaluation(LOGS / "harness-b.jsonl").values()
    assert len(task) == 12
    answer = task["5"][1]
    assert answer.text == " so the answer is 99"
    assert answer.scores == {"exact_match (last)": 0.0, "exact_match (strict)": 0.0}
    assert task["4"][1].scores == {"exact_match (last)": 1.0, "exact_match (strict)": 1.0}


def test_a_log_of_inspect_has_epochs_and_a_metric_for_each_scorer() -> None:
    (task,) = read_evaluation(LOGS / "inspect-b.json").values()
    assert len(task) == 12
    assert {epoch for epochs in task.values() for epoch in epochs} == {1, 2}
    assert task["add-5"][2].text == "99"
    assert task["add-5"][2].scores == {"match": 0.0, "includes": 0.0}


def test_reviews_of_evalscope_have_a_metric_for_each_value(tmp_path: Path) -> None:
    (task,) = read_evaluation(LOGS / "evalscope-a.jsonl").values()
    assert sorted(task) == ["0", "1", "2"]
    answer = task["0"][1]
    assert answer.text == "Are you write a Debian Administrator's HTTP servers are"
    assert answer.scores == {"accuracy": 0.0}
    assert "What is 1 plus 1?" in answer.prompt
    # As evalscope lays its files out: predictions and totals lie beside the reviews.
    reviews = tmp_path / "20261130_194854" / "reviews" / "tiny"
    reviews.mkdir(parents=True)
    lines = (LOGS / "evalscope-a.jsonl").read_text()
    (reviews / "general_mcq_example.jsonl").write_text(lines)
    (tmp_path / "20261130_194854" / "report.json").write_text('{"score": 0.5}')
    assert read_evaluation(tmp_path) == {"general_mcq_example": task}


def test_evalscopes_arms_are_the_same_text_and_a_broken_grade_is_none(tmp_path: Path) -> None:
    a, b = (read_evaluation(LOGS / f"evalscope-{arm}.jsonl") for arm in "ab")
    found = compare(a=a, b=b, margin=0.02)
    assert (found.same_text, found.with_text, found.missing) == (3, 3, ())
    record = json.loads((LOGS / "evalscope-b.jsonl").read_text().splitlines()[0])
    record["sample_score"]["score"]["status"] = "failed"
    (tmp_path / "b.jsonl").write_text(json.dumps(record))
    (task,) = read_evaluation(tmp_path / "b.jsonl").values()
    assert [answer.scores for epochs in task.values() for answer in epochs.values()] == [{}]


def test_a_sample_that_broke_has_neither_text_nor_score(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect-a.json").read_text())
    # What inspect 0.3.285 writes where the model could not be asked.
    log["samples"][0] |= {"output": {"model": "m", "choices": [], "completion": ""}, "scores": {}}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    (task,) = read_evaluation(path).values()
    assert task["add-0"][1].text is None
    assert task["add-0"][1].scores == {}


def test_likelihoods_have_scores_and_no_text(tmp_path: Path) -> None:
    path = tmp_path / "samples_arc.jsonl"
    record = {"doc_id": 3, "resps": [[["-1.5", "False"]], [["-2.0", "False"]]], "filter": "none"}
    path.write_text(json.dumps(record | {"metrics": ["acc", "acc_norm"], "acc": 1, "acc_norm": 0}))
    answer = read_evaluation(path)["arc"]["3"][1]
    assert answer.text is None
    assert answer.scores == {"acc": 1.0, "acc_norm": 0.0}


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("samples_add_2026-11-30T15-28-22.935108.jsonl", "add"),
        ("samples_mmlu_high_school.jsonl.gz", "mmlu_high_school"),
        ("2026-11-30T15-27-38-00-00_add_YMTPVxoMtQ8UzSqrZdT2wM.json", "add"),
        ("2026-11-30T15-27-38+00-00_my-task_YMTPVxoMtQ8UzSqrZdT2wM.json", "my-task"),
        ("anything.jsonl", "anything.jsonl"),
    ],
)
def test_the_task_is_in_the_name_that_the_tool_gives(name: str, task: str) -> None:
    assert task_of(Path(name)) == task


def test_a_folder_is_read_whole_but_for_totals(tmp_path: Path) -> None:
    deep = tmp_path / "model"
    deep.mkdir()
    (deep / "results_2026.json").write_text("{}")
    text = (LOGS / "harness-a.jsonl").read_bytes()
    (deep / "samples_add_2026-11-30T15-28-22.935108.jsonl").write_bytes(text)
    (deep / "samples_sub.jsonl.gz").write_bytes(gzip.compress(text))
    assert read_evaluation(tmp_path).keys() == {"add", "sub"}
    (deep / "samples_add_2026-11-29T15-28-22.935108.jsonl").write_bytes(text)
    with pytest.raises(SuiteError, match="two logs of 'add'"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"prompt": "x"}\n', "line 1: no sample of lm-evaluation-harness"),
        ('{"doc_id": 0, "metrics": ["a"], "a": 1}\n' * 2, "line 2: sample 0 stands there twice"),
        ('{"doc_id": 0}\n[]\n', "line 2: not an object"),
    ],
)
def test_what_is_no_log_is_refused_by_its_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(SuiteError, match=told):
        read_evaluation(path)


def test_an_empty_folder_is_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no logs in it"):
        read_evaluation(tmp_path)
