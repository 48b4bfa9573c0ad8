"""Read logs of evaluations: lm-evaluation-harness ``--log_samples``, inspect, evalscope."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equivcheck.conversion.read import records_of
from equivcheck.core.errors import SuiteError
from equivcheck.evaluations.answers import Evaluation, GradedAnswer, Task

LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""How inspect writes correct, incorrect, partial and no answer."""
PATTERNS = ("samples_*.jsonl", "samples_*.jsonl.gz", "*.json", "*.json.gz")
REVIEWS = "reviews"
"""Folder of evalscope's graded answers: ``reviews/MODEL/TASK.jsonl``. What lies beside it has no
grades, or no answers."""
SUMMARIES = "results_"
"""What the harness calls the file of its totals, which has no samples."""
_DATE = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d"
_HARNESS_NAME = re.compile(rf"samples_(.+?)(?:_{_DATE}[.\d]*)?\.jsonl(?:\.gz)?")
_INSPECT_NAME = re.compile(rf"{_DATE}[+\-\d]*_(.+)_[^_]+\.json(?:\.gz)?")


def read_evaluation(path: Path) -> Evaluation:
    """One arm's answers, of a file or of all logs in a folder and the folders in it.

    Raises:
        SuiteError: nothing is there, a file cannot be read, is no log of graded answers, or two
            files hold the same task.
    """
    if not path.is_dir():
        return {task_of(path): _task(path)}
    found: dict[str, Path] = {}
    tasks: Evaluation = {}
    reviews = set(path.rglob(f"{REVIEWS}/*/*.jsonl"))
    for file in sorted(reviews or {file for each in PATTERNS for file in path.rglob(each)}):
        if file.name.startswith(SUMMARIES):
            continue
        task = task_of(file)
        if task in found:
            raise SuiteError(f"{path}: two logs of {task!r}: {found[task]} and {file}; name one")
        found[task], tasks[task] = file, _task(file)
    if not tasks:
        known = ", ".join((*PATTERNS, f"{REVIEWS}/*/*.jsonl"))
        raise SuiteError(f"{path}: no logs in it; known are {known}")
    return tasks


def task_of(path: Path) -> str:
    """The task in a log's name, as its tool writes it; any other name whole."""
    if path.parent.parent.name == REVIEWS:
        return path.stem
    named = _HARNESS_NAME.fullmatch(path.name) or _INSPECT_NAME.fullmatch(path.name)
    return named[1] if named else path.name


def _task(path: Path) -> Task:
    task: Task = {}
    for found in records_of(path):
        if found.record is None:
            raise SuiteError(f"{path}:{found.place}: {found.why}")
        where = f"{path}:{found.place}"
        if "doc_id" in found.record:
            sample, epoch, answer = _of_harness(found.record)
        elif "epoch" in found.record and "id" in found.record:
            sample, epoch, answer = _of_inspect(found.record)
        elif isinstance(found.record.get("sample_score"), dict):
            sample, epoch, answer = _of_evalscope(found.record)
        else:
            raise SuiteError(
                f"{where}: no sample of lm-evaluation-harness (doc_id), inspect (id, epoch) or "
                "evalscope (sample_score)"
            )
        answers = task.setdefault(sample, {})
        before = answers.get(epoch)
        if before is None:
            answers[epoch] = answer
        elif before.scores.keys() & answer.scores.keys() or before.prompt != answer.prompt:
            raise SuiteError(f"{where}: sample {sample} stands there twice")
        else:
            answers[epoch] = before._replace(scores={**before.scores, **answer.scores})
    return task


def _of_harness(record: Mapping[str, Any]) -> tuple[str, int, GradedAnswer]:
    """A line: one sample under one filter. The answer to a question of likelihoods has no text."""
    names = record.get("metrics") or ()
    behind = f" ({record['filter']})" if record.get("filter", "none") != "none" else ""
    scores = {f"{name}{behind}": _number(record.get(name)) for name in names}
    prompt = "/".join(str(record.get(key)) for key in ("doc_hash", "prompt_hash", "target_hash"))
    return str(record["doc_id"]), 1, GradedAnswer(prompt, _text_of(record.get("resps")), scores)


def _text_of(responses: Any) -> str | None:
    match responses:
        case [[str() as text]]:
            return text
        case _:
            return None


def _of_inspect(record: Mapping[str, Any]) -> tuple[str, int, GradedAnswer]:
    """A sample: each scorer's value, or each value of a scorer that gives several."""
    output = record.get("output") or {}
    broken = bool(record.get("error")) or not output.get("choices")
    scores = dict(_values_of(record.get("scores") or {}))
    asked = repr((record.get("input"), record.get("target")))
    return (
        str(record["id"]),
        int(record["epoch"]),
        GradedAnswer(asked, None if broken else str(output.get("completion")), scores),
    )


def _of_evalscope(record: Mapping[str, Any]) -> tuple[str, int, GradedAnswer]:
    """A review: one answer, with all that it is graded by."""
    graded = record["sample_score"]
    score = graded.get("score") or {}
    messages = [each for each in record.get("messages") or () if isinstance(each, dict)]
    asked = [(each.get("role"), each.get("content")) for each in messages if not _answers(each)]
    text = next((each.get("content") for each in reversed(messages) if _answers(each)), None)
    broken = score.get("status", "success") != "success"
    scores = {name: _number(value) for name, value in (score.get("value") or {}).items()}
    return (
        str(graded.get("group_id", record.get("index"))),
        int(graded.get("generation_index") or 0) + 1,
        GradedAnswer(
            repr((asked, record.get("target"))),
            text if isinstance(text, str) else None,
            {} if broken else scores,
        ),
    )


def _answers(message: Mapping[str, Any]) -> bool:
    """Whether evalscope says that the model wrote a message."""
    return message.get("role") == "assistant" and message.get("source") == "generate"


def _values_of(scores: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            yield from ((f"{scorer}.{name}", _number(part)) for name, part in value.items())
        else:
            yield scorer, _number(value)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return LETTERS.get(value)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None
