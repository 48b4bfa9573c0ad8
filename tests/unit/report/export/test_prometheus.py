"""The text is what Prometheus' own parser reads, and its numbers are the report's."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from equivcheck.checks.verdict import judge
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET
from equivcheck.report.export.exposition import SECONDS, Family, Sample, histogram, label, render
from equivcheck.report.view import view_of
from equivcheck.statistics.acceptance_rate import acceptance_by_workload
from tests.unit.make import make_evidence
from tests.unit.report.export.make import text_of, timed_run
from tests.unit.report.test_report import make_run

Labels = frozenset[tuple[str, str]]


def read(text: str) -> dict[str, dict[Labels, float]]:
    """Sample name to labels to value; a series that stands there twice fails."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in series
            series[labels] = sample.value
    return found


def at(**labels: str) -> Labels:
    return frozenset(labels.items())


def test_the_counts_are_those_of_the_report() -> None:
    evidence = timed_run()
    found = read(text_of(evidence))
    spec = "equivcheck_spec_decode_num"
    for workload, acceptance in acceptance_by_workload(evidence).items():
        here = at(arm=CANDIDATE, workload=workload)
        drafts = found[f"{spec}_drafts_total"][here]
        assert drafts == acceptance.num_spec_steps
        accepted = found[f"{spec}_accepted_tokens_total"][here]
        assert accepted / found[f"{spec}_draft_tokens_total"][here] == acceptance.rate
        by_position = found[f"{spec}_accepted_tokens_per_pos_total"]
        for position, rate in enumerate(acceptance.marginal_rates):
            series = at(arm=CANDIDATE, workload=workload, position=str(position))
            assert by_position[series] / drafts == rate
    for row in view_of(evidence, judge(evidence)).workloads:
        assert found["equivcheck_compared_cases"][at(workload=row.workload)] == row.cases
        assert found["equivcheck_identical_cases"][at(workload=row.workload)] == row.identical


def test_arms_that_never_draft_have_no_metrics_of_speculation() -> None:
    found = read(text_of(timed_run()))
    arms = {dict(labels)["arm"] for labels in found["equivcheck_spec_decode_num_drafts_total"]}
    assert arms == {CANDIDATE}
    arms = {dict(labels)["arm"] for labels in found["equivcheck_generation_tokens_total"]}
    assert arms == {TARGET, CANDIDATE, CONTROL}


def test_outcome_findings_and_grades() -> None:
    evidence = make_run(parted=["code/c1"])
    found = read(text_of(evidence))
    outcomes = found["equivcheck_run_outcome"]
    assert outcomes == {at(outcome="pass"): 0, at(outcome="inconclusive"): 0, at(outcome="fail"): 1}
    assert found["equivcheck_findings"][at(check="greedy", outcome="fail")] == 2
    assert "equivcheck_graded_answers" not in found
    graded = read(text_of(timed_run()))["equivcheck_graded_answers"]
    assert graded[at(arm=TARGET, workload="code", result="right")] == 1
    assert graded[at(arm=TARGET, workload="code", result="wrong")] == 0


def test_times_are_histograms_and_unknown_ones_are_left_out() -> None:
    found = read(text_of(timed_run()))
    here = at(arm=TARGET, workload="code")
    for name, count, total in (
        ("inter_token_latency", 16, 0.32),
        ("e2e_request_latency", 4, 0.4),
        ("time_to_first_token", 4, 0.016),
    ):
        assert found[f"equivcheck_{name}_seconds_count"][here] == count
        assert found[f"equivcheck_{name}_seconds_sum"][here] == pytest.approx(total)
    assert "latency" not in text_of(make_run())


def test_a_run_without_answers_is_still_a_document() -> None:
    found = read(text_of(make_evidence({})))
    assert found["equivcheck_run_outcome"][at(outcome="inconclusive")] == 1


@given(st.lists(st.floats(0, 500), max_size=30))
def test_buckets_are_cumulative_and_end_with_the_count(seconds: list[float]) -> None:
    text = render([Family("t_seconds", "histogram", "h", histogram({"arm": "a"}, seconds))])
    found = read(text)
    buckets = [
        found["t_seconds_bucket"][at(arm="a", le=edge)]
        for edge in [*(repr(float(edge)) for edge in SECONDS), "+Inf"]
        if at(arm="a", le=edge) in found["t_seconds_bucket"]
    ]
    assert buckets == sorted(buckets)
    assert found["t_seconds_bucket"][at(arm="a", le="+Inf")] == len(seconds)
    assert found["t_seconds_count"][at(arm="a")] == len(seconds)
    assert found["t_seconds_sum"][at(arm="a")] == pytest.approx(math.fsum(seconds))


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_in_a_label_reads_back_as_what_is_shown(text: str) -> None:
    written = render([Family("n", "gauge", "h", [Sample({"workload": label(text)}, 1)])])
    assert read(written) == {"n": {at(workload=label(text)): 1}}
    assert len(written.splitlines()) == 3


def test_workloads_that_look_the_same_are_one_series() -> None:
    evidence = timed_run()
    asked = {
        key: msgspec.structs.replace(each, workload="x" * 500 + each.workload)
        for key, each in evidence.asked.items()
    }
    found = read(text_of(msgspec.structs.replace(evidence, asked=asked)))
    (series,) = [
        labels
        for labels in found["equivcheck_generation_tokens_total"]
        if ("arm", TARGET) in labels
    ]
    assert found["equivcheck_generation_tokens_total"][series] == 80
