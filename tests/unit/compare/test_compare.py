from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.baselines.cells import Terms, judged, p99_cell, speedup_cell
from equivcheck.baselines.limits import limit_findings
from equivcheck.compare.compare import compare
from equivcheck.compare.render import lines_of, markdown_of, next_command
from equivcheck.core.findings import Interval, Outcome
from equivcheck.core.settings import WorkloadLimits
from equivcheck.records.baseline_record import Baseline, BenchFigures, CaseTimes, Ratio
from equivcheck.statistics.ratios import geometric_mean
from tests.unit.baselines.make import even_cases, make_baseline, make_case

FINITE = st.floats(-0.5, 0.5)


def bench(
    scale: float = 1.0, *, machine: str = "H100", count: int = 8, **fields: object
) -> BenchFigures:
    times = {
        f"code/{n}": CaseTimes(target=0.02 + 0.001 * n, candidate=(0.01 + 0.0004 * n) * scale)
        for n in range(count)
    }
    given: dict[str, object] = {
        "facts": {"suites.code": "d1"},
        "machine": machine,
        "times": {"code": times},
        "p99_ratio": {"code": Ratio(value=0.8, interval=Interval(0.75, 0.85))},
        "memory_overhead": 1.2,
    } | fields
    return BenchFigures(**given)  # type: ignore[arg-type]


MEASURED = make_baseline(bench=bench())


def test_a_run_against_itself_is_the_same() -> None:
    found = compare(base=make_baseline(), new=make_baseline())
    assert (found.outcome, found.word) == (Outcome.PASS, "SAME OR BETTER")
    assert found.rows[0].acceptance.state == "same"
    assert found.differences == ()


def test_fewer_accepted_drafts_are_a_regression_though_all_tokens_agree() -> None:
    new = make_baseline(even_cases(accepted=40), under_test={"candidate": "native:gamma=4,x=1"})
    found = compare(base=make_baseline(), new=new)
    assert (found.outcome, found.word) == (Outcome.FAIL, "REGRESSED")
    assert found.headline == "REGRESSED — acceptance of code 0.61 → 0.41"
    assert [each.field for each in found.differences] == ["candidate"]


def test_a_draft_that_got_better_is_told_and_passes() -> None:
    found = compare(base=make_baseline(), new=make_baseline(even_cases(accepted=80)))
    assert (found.outcome, found.rows[0].acceptance.state) == (Outcome.PASS, "better")
    assert "1 of 1 workloads better" in found.headline


@pytest.mark.parametrize(
    ("field", "value"),
    [("suites.code", "d2"), ("setup.dtype", "bfloat16"), ("device", "cuda")],
)
def test_other_facts_are_not_comparable_however_good_the_figures(field: str, value: str) -> None:
    base = make_baseline()
    new = make_baseline(even_cases(accepted=90), facts=base.facts | {field: value})
    found = compare(base=base, new=new)
    assert (found.outcome, found.word) == (Outcome.INCONCLUSIVE, "NOT COMPARABLE")
    assert found.not_comparable is not None
    assert (found.not_comparable.field, found.not_comparable.new) == (field, value)
    assert found.rows == ()


def test_newly_diverged_cases_come_first_and_name_the_command() -> None:
    old = make_case(100, 60, outcome=Outcome.FAIL, state="stop-rule")
    base = make_baseline(even_cases() | {"code/0": old})
    diverged = make_case(100, 60, outcome=Outcome.FAIL, state="diverged")
    new = make_baseline(even_cases() | {"code/0": old, "code/5": diverged}, verdict=Outcome.FAIL)
    found = compare(base=base, new=new)
    assert found.word == "NOT EQUIVALENT"
    assert [(each.key, each.newly) for each in found.broken] == [
        ("code/5", True),
        ("code/0", False),
    ]
    assert "first code/5: diverged" in found.headline
    assert next_command(found, base="main", new="runs/x y") == "equivcheck replay 'runs/x y' code/5"


def test_a_new_run_that_failed_elsewhere_does_not_pass() -> None:
    new = make_baseline(verdict=Outcome.FAIL, headline="NOT EQUIVALENT — failed: counters")
    assert compare(base=make_baseline(), new=new).outcome is Outcome.FAIL
    doubtful = make_baseline(verdict=Outcome.INCONCLUSIVE, headline="INCONCLUSIVE — budget")
    assert compare(base=make_baseline(), new=doubtful).outcome is Outcome.INCONCLUSIVE


def test_what_was_not_run_is_no_pass_and_no_accusation() -> None:
    some = dict(list(even_cases().items())[:5])
    found = compare(base=make_baseline(), new=make_baseline(some))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "3 of the base's prompts were not run" in found.headline
    none = compare(base=make_baseline(), new=make_baseline({}))
    assert none.outcome is Outcome.INCONCLUSIVE


def test_two_prompts_cannot_exclude_a_loss() -> None:
    base = make_baseline({"code/0": make_case(100, 60), "code/1": make_case(100, 50)})
    new = make_baseline({"code/0": make_case(100, 58), "code/1": make_case(100, 52)})
    found = compare(base=base, new=new)
    assert (found.outcome, found.rows[0].acceptance.state) == (Outcome.INCONCLUSIVE, "inconclusive")


def test_a_workload_that_no_longer_drafts_is_inconclusive() -> None:
    idle = {key: make_case(0, 0) for key in even_cases()}
    assert compare(base=make_baseline(), new=make_baseline(idle)).outcome is Outcome.INCONCLUSIVE


def test_the_project_s_drop_limit_replaces_the_margin() -> None:
    base, new = (
        make_baseline(),
        make_baseline(even_cases(accepted=60) | {"code/7": make_case(100, 30)}),
    )
    limits = {"code": WorkloadLimits(max_acceptance_drop=0.5)}
    assert compare(base=base, new=new).outcome is Outcome.INCONCLUSIVE
    assert compare(base=base, new=new, limits=limits).outcome is Outcome.PASS


@given(FINITE, st.floats(0, 0.5), st.floats(0, 0.2), st.floats(0, 0.2))
def test_worse_and_held_exclude_each_other(
    change: float, half: float, effect: float, margin: float
) -> None:
    interval = Interval(change - half, change + half)
    state = judged(change, interval, effect=effect, margin=margin)
    if state == "worse":
        assert interval.high < 0
        assert change <= -effect
    elif state != "inconclusive":
        assert interval.low >= -margin
    wider = Interval(change - half - 1, change + half + 1)
    assert judged(change, wider, effect=effect, margin=margin) == "inconclusive"


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=12), st.floats(0.1, 10))
def test_geometric_means_scale(ratios: list[float], scale: float) -> None:
    one, other = geometric_mean(ratios), geometric_mean([scale * each for each in ratios])
    assert one is not None
    assert other is not None
    assert other.value == pytest.approx(scale * one.value)
    assert one.interval is not None
    assert other.interval is not None
    assert other.interval == pytest.approx([scale * each for each in one.interval], rel=1e-6)


def test_speedups_are_paired_by_prompt() -> None:
    base, slower = bench().times["code"], bench(1.25).times["code"]
    cell = speedup_cell(base, slower, terms=Terms())
    assert cell.state == "worse"
    assert cell.change == pytest.approx(1 / 1.25 - 1)
    assert speedup_cell(base, bench(1.01).times["code"], terms=Terms()).state == "noise"


def test_a_p99_without_interval_is_told_and_not_judged() -> None:
    known = Ratio(value=0.8, interval=Interval(0.7, 0.9))
    assert p99_cell(known, Ratio(value=2.0), terms=Terms()).state == "absent"
    worse = Ratio(value=1.6, interval=Interval(1.5, 1.7))
    cell = p99_cell(known, worse, terms=Terms())
    assert cell.state == "worse"
    assert cell.change == pytest.approx(1.0)
    assert cell.interval is not None
    assert cell.interval.low > 0.5


def test_across_machines_ratios_are_compared_and_times_are_not() -> None:
    base = make_baseline(bench=bench())
    here, there = (
        compare(base=base, new=make_baseline(bench=bench(machine=machine)))
        for machine in ("H100", "L4")
    )
    assert here.rows[0].tokens_per_second.state == "same"
    assert there.rows[0].tokens_per_second.state == "not comparable"
    assert there.rows[0].speedup.state == "same"
    assert "different machines" in there.notes[0]


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        (bench(times={}), "speedup of code"),
        (bench(p99_ratio={}), "p99 ratio of code"),
        (bench(memory_overhead=None), "memory overhead"),
    ],
)
def test_a_figure_that_the_new_measurement_lacks_is_no_pass(
    lacking: BenchFigures, told: str
) -> None:
    found = compare(base=MEASURED, new=make_baseline(bench=lacking))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.headline == f"INCONCLUSIVE — the base has figures that the new run lacks: {told}"
    assert "→ n/a" in "\n".join(lines_of(found, command="c"))
    # What the base never had cannot be lost.
    back = compare(base=make_baseline(bench=lacking), new=MEASURED)
    assert back.outcome is Outcome.PASS


def test_prompts_that_the_new_measurement_left_out_are_no_pass() -> None:
    found = compare(base=MEASURED, new=make_baseline(bench=bench(count=5)))
    assert found.headline == "INCONCLUSIVE — 3 of the base's times of code were not measured"
    slower = compare(base=MEASURED, new=make_baseline(bench=bench(1.4, count=5)))
    assert slower.word == "REGRESSED"


def test_a_measurement_with_other_tokens_fails_whatever_the_base_has() -> None:
    wrong = make_baseline(bench=bench(times={}, diverged={"chat": ("chat/3",)}))
    for base in (MEASURED, make_baseline()):
        found = compare(base=base, new=wrong)
        assert found.outcome is Outcome.FAIL
        assert found.headline == (
            "NOT EQUIVALENT — tokens of chat are not the target's in the new measurement; "
            "first chat/3"
        )


def test_a_run_without_a_measurement_is_compared_by_its_answers_and_says_so() -> None:
    found = compare(base=MEASURED, new=make_baseline())
    assert found.outcome is Outcome.PASS
    assert found.notes == (
        "the new run has no measurement: speedup, p99 and memory are not compared",
    )


def test_a_measurement_is_comparable_with_the_bench_part_of_a_run() -> None:
    base = make_baseline(bench=bench())
    alone = make_baseline({}, kind="bench", facts={"suites.code": "d1"}, bench=bench(1.3))
    found = compare(base=base, new=alone)
    assert found.word == "REGRESSED"
    assert found.rows[0].acceptance.state == "not comparable"
    assert compare(base=make_baseline(), new=alone).word == "NOT COMPARABLE"


def test_more_memory_is_a_regression() -> None:
    new = make_baseline(bench=bench(memory_overhead=1.5))
    found = compare(base=MEASURED, new=new)
    assert found.headline == "REGRESSED — memory overhead 1.20 → 1.50"


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        (WorkloadLimits(min_speedup=1.5), Outcome.PASS),
        (WorkloadLimits(min_speedup=3.0), Outcome.FAIL),
        (WorkloadLimits(max_p99_ratio=0.8), Outcome.INCONCLUSIVE),
        (WorkloadLimits(max_p99_ratio=0.9), Outcome.PASS),
        (WorkloadLimits(max_memory_ratio=1.1), Outcome.FAIL),
    ],
)
def test_limits_hold_fail_or_are_not_known(limits: WorkloadLimits, outcome: Outcome) -> None:
    (found,) = limit_findings(bench(), {"code": limits})
    assert found.outcome is outcome
    base = make_baseline(bench=bench())
    assert compare(base=base, new=base, limits={"code": limits}).outcome is outcome


def test_a_limit_without_its_figure_is_inconclusive_and_other_workloads_are_left_alone() -> None:
    unknown = bench(times={}, p99_ratio={}, memory_overhead=None)
    limit = WorkloadLimits(min_speedup=1.0, max_p99_ratio=1.0, max_memory_ratio=2.0)
    outcomes = [found.outcome for found in limit_findings(unknown, {"code": limit})]
    assert outcomes == [Outcome.INCONCLUSIVE] * 3
    assert limit_findings(bench(), {"chat": limit}) == ()


@pytest.mark.parametrize("measured", [bench(), None], ids=["measured", "a run alone"])
def test_limits_of_a_misspelt_workload_are_told_and_no_pass(measured: BenchFigures | None) -> None:
    run = make_baseline(bench=measured)
    found = compare(base=run, new=run, limits={"cod": WorkloadLimits(max_acceptance_drop=0.01)})
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.headline.startswith("INCONCLUSIVE — code: no limit is held")
    assert found.headline.endswith("(did you mean 'code'?)")
    known = {"code": WorkloadLimits(), "cod": WorkloadLimits()}
    unlike_any = {"chat": WorkloadLimits(min_speedup=9.0)}
    for limits in (known, unlike_any):
        assert compare(base=run, new=run, limits=limits).outcome is Outcome.PASS


def test_words_start_with_the_verdict_and_end_with_one_command() -> None:
    new = make_baseline(even_cases(accepted=40), bench=bench(1.4))
    found = compare(base=MEASURED, new=new)
    lines = list(lines_of(found, command="equivcheck compare a b"))
    assert lines[0].startswith("REGRESSED — acceptance of code")
    assert lines[-1] == "equivcheck compare a b"
    assert any("a change counts from 0.01" in line for line in lines)
    row = next(line for line in lines if " code " in line and "→" in line and "fail" in line)
    assert "0.61 → 0.41  ✗ -0.200" in row
    told = markdown_of(found, command="equivcheck compare a b")
    assert told.startswith("## REGRESSED")
    assert "0.61 → 0.41" in told


def test_hostile_names_cannot_move_the_cursor() -> None:
    evil = make_baseline(under_test={"candidate": "x\x1b[2J\u202e`|"}, name="m\x1b[31m")
    found = compare(base=make_baseline(), new=evil)
    shown = "\n".join(lines_of(found, command="c")) + markdown_of(found, command="c")
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_comparison_survives_json() -> None:
    found = compare(base=MEASURED, new=make_baseline(even_cases(accepted=1), bench=bench()))
    tree = msgspec.json.decode(msgspec.json.encode(found))
    assert tree["word"] == "REGRESSED"
    assert math.isclose(tree["rows"][0]["acceptance"]["change"], -0.59, abs_tol=1e-6)


def test_baselines_keep_what_is_written() -> None:
    base = make_baseline(bench=bench())
    assert msgspec.json.decode(msgspec.json.encode(base), type=Baseline) == base


def with_prompts(**digests: str) -> Baseline:
    cases = even_cases()
    return make_baseline(
        {
            key: msgspec.structs.replace(case, prompt=digests.get(key[5:]))
            for key, case in cases.items()
        }
    )


def test_cases_that_encode_to_other_ids_are_not_compared() -> None:
    base = with_prompts(**{"0": "aaaa", "1": "bbbb", "2": "cccc"})
    found = compare(base=base, new=with_prompts(**{"0": "aaaa", "1": "bb00", "2": "cc00"}))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.headline == (
        "NOT COMPARABLE — prompt of code/1 and 1 more: bbbb in the baseline, bb00 here"
    )


def test_a_baseline_from_before_prompts_were_kept_is_compared() -> None:
    found = compare(base=make_baseline(), new=with_prompts(**{"0": "aaaa"}))
    assert found.word == "SAME OR BETTER"


def test_measurements_of_other_prompts_are_not_compared() -> None:
    base = make_baseline(bench=bench(prompts={"code/0": "aaaa"}))
    new = make_baseline(bench=bench(prompts={"code/0": "bbbb"}))
    assert compare(base=base, new=base).word == "SAME OR BETTER"
    told = compare(base=base, new=new).headline
    assert told.startswith("NOT COMPARABLE — prompt of code/0: aaaa in")
