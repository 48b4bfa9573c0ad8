"""Limits on acceptance as a run meets them: checks, verdict, and every face of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest
from msgspec import structs

from equivcheck.baselines.facts import facts_of
from equivcheck.checks import acceptance, baseline
from equivcheck.checks.verdict import judge
from equivcheck.compare.compare import compare
from equivcheck.compare.from_run import baseline_of
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Counts
from equivcheck.core.settings import Settings, WorkloadLimits
from equivcheck.records.baseline_record import BaselineRecord, HistoryPoint
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.report import html, markdown, terminal
from equivcheck.report.baseline_view import vs_base_words
from equivcheck.report.view import RunView, view_of
from tests.unit.make import make_evidence, make_generation, make_request, make_steps

PROMPTS = 12


def run(
    accepted: Sequence[int],
    *,
    limits: Mapping[str, WorkloadLimits] | None = None,
    name: str | None = None,
    drafted: int = 4,
    **fields: object,
) -> Evidence:
    """One candidate answer a prompt, of five steps that accept ``accepted`` of 4 in turn."""
    settings = Settings(control=None, baseline=name, workload=dict(limits or {}))
    answers = []
    for n in range(PROMPTS):
        taken = [min(drafted, accepted[(n + step) % len(accepted)]) for step in range(5)]
        steps = make_steps(*((drafted, each) for each in taken))
        length = sum(each + 1 for each in taken)
        answers.append(make_generation([7] * length, key=f"code/{n}", steps=steps))
    plain = [structs.replace(answer, steps=()) for answer in answers]
    requests = [make_request(each.key, max_new_tokens=len(each.token_ids)) for each in answers]
    return make_evidence(
        {TARGET: plain, CANDIDATE: answers},
        settings=settings,
        requests=requests,
        **fields,  # type: ignore[arg-type]
    )


def against(evidence: Evidence, base: Evidence, **fields: object) -> Evidence:
    saved = structs.replace(baseline_of(base, judge(base), name="main"), run="base-run", **fields)
    return structs.replace(evidence, against=BaselineRecord(name="main", baseline=saved))


def only(evidence: Evidence) -> tuple[Outcome, Reason, str]:
    (found,) = acceptance.check(evidence)
    return found.outcome, found.reason, found.headline


@pytest.mark.parametrize(
    ("least", "outcome", "reason"),
    [
        (0.4, Outcome.PASS, Reason.HELD),
        (0.75, Outcome.FAIL, Reason.ACCEPTANCE_LOW),
        (0.61, Outcome.INCONCLUSIVE, Reason.UNDERPOWERED),
    ],
)
def test_a_floor_holds_fails_or_cannot_be_told(
    least: float, outcome: Outcome, reason: Reason
) -> None:
    found = run([4, 3, 0, 4, 1, 3, 2], limits={"code": WorkloadLimits(min_acceptance=least)})
    assert only(found)[:2] == (outcome, reason)


def test_no_limit_nothing_said() -> None:
    assert acceptance.check(run([2])) == []
    assert baseline.check(run([2])) == []


def test_nothing_speculated_is_inconclusive() -> None:
    idle = run([0], drafted=0, limits={"code": WorkloadLimits(min_acceptance=0.1)})
    assert only(idle)[:2] == (Outcome.INCONCLUSIVE, Reason.NOT_ENGAGED)


def test_a_misspelt_workload_holds_nothing_and_says_so() -> None:
    found = run([2], limits={"coed": WorkloadLimits(min_acceptance=0.1)})
    (finding,) = acceptance.check(found)
    assert (finding.subject, finding.outcome) == ("code", Outcome.INCONCLUSIVE)
    assert "did you mean 'code'?" in finding.headline


DROP = {"code": WorkloadLimits(max_acceptance_drop=0.05)}


@pytest.mark.parametrize(
    ("now", "outcome"),
    [([3, 2], Outcome.PASS), ([4, 3], Outcome.PASS), ([2, 1], Outcome.FAIL)],
    ids=["same", "better", "worse"],
)
def test_a_drop_against_the_baseline(now: list[int], outcome: Outcome) -> None:
    found = against(run(now, limits=DROP, name="main"), run([3, 2]))
    assert only(found)[0] is outcome
    assert [each.outcome for each in baseline.check(found)] == [Outcome.PASS]


def test_a_drop_fails_in_words_that_can_be_acted_on() -> None:
    (found,) = acceptance.check(against(run([2, 1], limits=DROP, name="main"), run([3, 2])))
    assert found.reason is Reason.ACCEPTANCE_DROPPED
    assert re.match(
        r"acceptance 0\.6\d\d → 0\.3\d\d, -0\.2\d\d \[.*\] on 12 prompts:", found.headline
    )
    assert found.details[0].startswith("code/")
    assert found.repeat == "equivcheck compare main run-1"


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (None, "not read"),
        (
            BaselineRecord(name="main", problem="missing: x.json", fix="equivcheck baseline save"),
            "missing",
        ),
        (BaselineRecord(name="other", problem="missing: x.json"), "not read"),
    ],
)
def test_a_limit_without_its_baseline_is_inconclusive(
    record: BaselineRecord | None, told: str
) -> None:
    found = structs.replace(run([2], limits=DROP, name="main"), against=record)
    outcome, reason, headline = only(found)
    assert (outcome, reason) == (Outcome.INCONCLUSIVE, Reason.NO_BASELINE)
    assert told in headline
    (run_finding,) = baseline.check(found)
    assert run_finding.outcome is Outcome.INCONCLUSIVE
    assert judge(found).outcome is Outcome.INCONCLUSIVE


def test_a_drop_limit_needs_a_name() -> None:
    (found,) = baseline.check(run([2], limits=DROP))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.repeat == "equivcheck baseline save --name main"


def test_a_baseline_of_other_suites_is_not_comparable() -> None:
    base = run([3, 2])
    facts = facts_of(base.header) | {"suites.code": "another"}
    found = against(run([3, 2], limits=DROP, name="main"), base, facts=facts)
    outcome, reason, headline = only(found)
    assert (outcome, reason) == (Outcome.INCONCLUSIVE, Reason.NOT_COMPARABLE)
    assert "suites.code" in headline


def test_the_verdict_does_not_call_a_slow_draft_different() -> None:
    found = judge(against(run([2, 1], limits=DROP, name="main"), run([3, 2])))
    failed = {finding.check for finding in found.findings if finding.outcome is Outcome.FAIL}
    assert failed == {"acceptance"}
    assert found.headline.startswith("LIMIT NOT MET — speculative matched target")
    assert found.exit_code == 1


def test_a_run_over_its_limit_is_compared_as_a_lossless_one() -> None:
    over = against(run([4, 1, 0], limits=DROP, name="main"), run([4, 3, 2]))
    base = run([4, 3, 2])
    taken = baseline_of(over, judge(over), name="over")
    assert (taken.verdict, taken.answers) == (Outcome.FAIL, Outcome.PASS)
    found = compare(base=baseline_of(base, judge(base), name="main"), new=taken)
    assert found.word == "REGRESSED"


def shown(**fields: object) -> RunView:
    points = tuple(
        HistoryPoint(
            created=f"2026-01-0{n}",
            run=f"r{n}",
            commit=None,
            counts={"code": Counts(drafted=240, accepted=150)},
        )
        for n in range(1, 6)
    )
    evidence = against(
        run([2, 1], limits=DROP, name="main", environment={"python": "3.12.0"}),
        run([3, 2]),
        history=points,
    )
    return view_of(evidence, judge(evidence))


def test_faces_show_the_same_box_change_and_trend() -> None:
    view = shown()
    assert view.against is not None
    change = vs_base_words(view.workloads[0].vs_base)
    assert re.fullmatch(r"✗ -0\.2\d\d \[-0\.\d{3}, -0\.\d{3}\]", change)
    box = "python: 3.11.2 in the baseline, 3.12.0 here"
    text, page = terminal.render(view), html.render(view)
    pasted = markdown.render(view).replace("\\", "")
    for face in (text, pasted, page):
        assert face.count(change) == 1
        assert face.index(box) < face.index(change)
        assert "0.625" in face
    assert page.count("<polyline") == 1
    assert "<script" not in page


def test_without_a_baseline_no_face_speaks_of_one() -> None:
    evidence = run([3, 2])
    view = view_of(evidence, judge(evidence))
    assert view.against is None
    for face in (terminal.render(view), markdown.render(view), html.render(view)):
        assert "vs base" not in face
        assert "<polyline" not in face


def test_a_missing_baseline_is_a_box_too() -> None:
    record = BaselineRecord(name="main", problem="missing: main.json: no such baseline")
    evidence = structs.replace(run([3, 2], name="main"), against=record)
    view = view_of(evidence, judge(evidence))
    text = terminal.render(view)
    assert "! not held against a baseline: missing: main.json: no such baseline" in text
    assert "vs base" in text
    assert view.workloads[0].vs_base is None


def test_a_baseline_of_other_prompts_is_not_comparable() -> None:
    base = run([3, 2])
    key = next(iter(base.asked))
    found = against(run([3, 2], limits=DROP, name="main"), base)
    asked = structs.replace(found.asked[key].request, prompt_ids=(1, 2, 3))
    moved = structs.replace(
        found, asked=found.asked | {key: structs.replace(found.asked[key], request=asked)}
    )
    assert only(found)[1] is not Reason.NOT_COMPARABLE
    outcome, reason, headline = only(moved)
    assert (outcome, reason) == (Outcome.INCONCLUSIVE, Reason.NOT_COMPARABLE)
    assert f"prompt of {key}" in headline
