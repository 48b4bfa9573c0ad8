"""The export is what AIPerf's own record allows, and comparing two of them sees what it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.compare.compare import compare
from equivcheck.compare.from_aiperf import aiperf_baseline
from equivcheck.compare.named import taken
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Outcome
from equivcheck.core.foreign import SUITE, what_is
from equivcheck.core.generation import Counts, DraftCounts
from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.report.export.aiperf import acceptance_record, aiperf_of
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_steps

STEPS = st.lists(
    st.integers(0, 6).flatmap(lambda drafted: st.tuples(st.just(drafted), st.integers(0, drafted))),
    max_size=12,
)


def exported(*requests: list[tuple[int, int]]) -> str:
    answers = [
        make_generation(key=f"code/c{number}", steps=make_steps(*steps), total_seconds=0.5)
        for number, steps in enumerate(requests)
    ]
    arms = {
        TARGET: make_capabilities(),
        CANDIDATE: make_capabilities(engine="native:gamma=4", num_speculative_tokens=4),
    }
    return aiperf_of(make_evidence({TARGET: answers, CANDIDATE: answers}, arms=arms)).text


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_a_request_in_aiperf_s_words() -> None:
    first, second = lines(exported([(4, 4), (4, 1), (0, 0)], [(0, 0)]))
    assert first["metadata"]["conversation_id"] == "code/c0"
    assert first["metrics"]["request_latency"] == {"value": 500.0, "unit": "ms"}
    assert first["spec_decode_acceptance"] == {
        "engine": "native:gamma=4",
        "mean_acceptance_length": 3.5,
        "draft_acceptance_rate": 0.625,
        "acceptance_histogram": {"1": 1, "4": 1},
        "num_accepted_draft_tokens": 5,
        "num_draft_tokens": 8,
        "num_spec_steps": 2,
        "num_spec_tokens": 4,
        "completion_tokens": 4,
        "per_step_accepted": [4, 1],
        "per_step_drafted": [4, 4],
    }
    assert "spec_decode_acceptance" not in second


@given(STEPS)
def test_every_record_keeps_the_identities_that_aiperf_checks(steps: list[tuple[int, int]]) -> None:
    record = acceptance_record(make_generation(steps=make_steps(*steps)), engine="e", most=0)
    if record is None:
        assert not any(drafted for drafted, _ in steps)
        return
    histogram = record["acceptance_histogram"]
    assert sum(histogram.values()) == record["num_spec_steps"]
    assert sum(int(j) * n for j, n in histogram.items()) == record["num_accepted_draft_tokens"]
    assert record["num_accepted_draft_tokens"] <= record["num_draft_tokens"]


def test_totals_alone_make_no_histogram_and_no_record() -> None:
    told = make_generation(counts=DraftCounts(drafted=8, accepted=3, steps=2))
    assert acceptance_record(told, engine="e", most=4) is None


def test_aiperf_s_own_model_reads_it() -> None:
    models = pytest.importorskip("aiperf.common.models.record_models")
    for line in exported([(4, 4), (4, 0)], [(0, 0)]).splitlines():
        models.MetricRecordInfo.model_validate_json(line)


def file_of(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_drop_of_acceptance_is_a_regression_and_equal_records_are_no_pass(tmp_path: Path) -> None:
    base = file_of(tmp_path, "base.jsonl", exported(*[[(4, 3), (4, 2)]] * 40))
    worse = file_of(tmp_path, "worse.jsonl", exported(*[[(4, 1), (4, 0)]] * 40))
    same = compare(base=taken(str(base)), new=taken(str(base)))
    assert (same.outcome, same.word) == (Outcome.INCONCLUSIVE, "INCONCLUSIVE")
    assert "no tokens were compared" in same.headline
    assert same.rows[0].acceptance.state == "same"
    assert same.rows[0].outcome is Outcome.INCONCLUSIVE
    assert not same.broken
    assert compare(base=taken(str(base)), new=taken(str(worse))).word == "REGRESSED"


def test_requests_of_one_prompt_count_together_and_warmup_does_not_count(tmp_path: Path) -> None:
    told = lines(exported([(4, 4)], [(4, 0)], [(4, 2)]))
    told[1]["metadata"]["conversation_id"] = "code/c0"
    told[2]["metadata"]["benchmark_phase"] = "warmup"
    path = file_of(tmp_path, "p.jsonl", "\n".join(map(json.dumps, told)))
    found = aiperf_baseline(path, name="p")
    assert list(found.cases) == ["aiperf/code/c0"]
    assert found.cases["aiperf/code/c0"].counts == Counts(drafted=8, accepted=4)
    assert found.facts["candidate.num_speculative_tokens"] == "4"


def inputs_of(*texts: str, model: str) -> str:
    asked = [
        {
            "session_id": f"{model}-{at}",
            "payloads": [{"model": model, "messages": [{"role": "user", "content": text}]}],
        }
        for at, text in enumerate(texts)
    ]
    return json.dumps({"data": asked})


def test_prompts_of_runs_with_conversations_named_at_random_pair_by_what_was_asked(
    tmp_path: Path,
) -> None:
    found = []
    for model, texts in (("plain", ("a", "b")), ("spec", ("b", "a")), ("other", ("a", "c"))):
        told = lines(exported([(4, 4)], [(4, 0)]))
        for at, line in enumerate(told):
            line["metadata"]["conversation_id"] = f"{model}-{at}"
        (tmp_path / model).mkdir()
        file_of(tmp_path / model, "inputs.json", inputs_of(*texts, model=model))
        text = "\n".join(map(json.dumps, told))
        found.append(taken(str(file_of(tmp_path / model, "p.jsonl", text))))
    plain, spec, other = found
    assert list(plain.cases) == list(spec.cases)[::-1]
    assert len(plain.cases.keys() & other.cases.keys()) == 1
    assert compare(base=plain, new=spec).rows[0].prompts == 2
    (tmp_path / "spec" / "inputs.json").unlink()
    alone = taken(str(tmp_path / "spec" / "p.jsonl"))
    assert compare(base=plain, new=alone).word == "NOT COMPARABLE"


def test_records_of_another_run_than_the_inputs_are_refused(tmp_path: Path) -> None:
    file_of(tmp_path, "inputs.json", inputs_of("a", model="m"))
    path = file_of(tmp_path, "p.jsonl", exported([(4, 4)]))
    with pytest.raises(RecordsError, match=r"inputs\.json has no code/c0"):
        taken(str(path))


def _more(record: dict[str, Any]) -> None:
    record["spec_decode_acceptance"]["num_accepted_draft_tokens"] += 1


def _beyond(record: dict[str, Any]) -> None:
    record["spec_decode_acceptance"]["num_draft_tokens"] = 1


def _steps(record: dict[str, Any]) -> None:
    record["spec_decode_acceptance"]["num_spec_steps"] = 7


def _negative(record: dict[str, Any]) -> None:
    record["spec_decode_acceptance"]["num_draft_tokens"] = -8


def _none(record: dict[str, Any]) -> None:
    del record["spec_decode_acceptance"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_more, "accepted 6, 5 by the histogram"),
        (_beyond, "accepted 5 of 1 drafted"),
        (_steps, "7 steps, 2 of them in the histogram"),
        (_negative, "num_draft_tokens"),
        (_none, "--export-level records"),
    ],
)
def test_counts_that_exclude_each_other_are_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], told: str
) -> None:
    record = lines(exported([(4, 4), (4, 1)]))[0]
    spoil(record)
    path = file_of(tmp_path, "p.jsonl", json.dumps(record) + "\n")
    with pytest.raises(RecordsError, match=told):
        aiperf_baseline(path, name="p")


def test_other_verbs_name_the_command_that_takes_it(tmp_path: Path) -> None:
    path = file_of(tmp_path, "p.jsonl", exported([(4, 4)]))
    assert "equivcheck compare OLDER" in what_is(path, instead_of=SUITE, otherwise="?")
