from __future__ import annotations

import msgspec
import pytest

from equivcheck.cli.bench_words import lines_of
from equivcheck.core.generation import Generation
from equivcheck.metrics.answers import Answers
from equivcheck.metrics.records import Bandwidth, Bench, OverheadRecord
from equivcheck.metrics.summarise import summarise
from equivcheck.metrics.summary import OVERALL, BenchSummary
from tests.unit.metrics.make import (
    CANDIDATE,
    STEP,
    TOKENS,
    WORKLOADS,
    answer,
    make_bench,
    speculative,
    speculative_slower_later,
)


def test_a_known_measurement() -> None:
    summary = summarise(make_bench())
    assert summary.finished
    assert list(summary.main) == [*WORKLOADS, OVERALL]
    code = summary.main["code"]
    assert (code.prompts, code.identical, code.holds) == (10, 10, True)
    assert code.speculation.draft_acceptance_rate.value == 0.5
    assert code.speculation.mean_acceptance_length == 3.0
    assert code.speedup is not None
    # Three tokens in 15 ms against three steps of 10 ms.
    assert code.speedup.geometric_mean.value == pytest.approx(2.0)
    assert code.speedup.totals.value == pytest.approx(2.0)
    assert code.speedup_over["stock"].geometric_mean.value == pytest.approx(1.6)
    assert code.p50_ratio.value == pytest.approx(0.5)
    assert summary.measuring_cost == pytest.approx(0.005)


def test_costs_against_both_plain_arms() -> None:
    costs = summarise(make_bench()).main["code"].costs
    assert costs["target"].c == pytest.approx(0.1)
    assert costs["target"].v == pytest.approx(1.1)
    assert costs["target"].break_even == pytest.approx(0.1 + 0.1 / 4)
    assert costs["target"].predicted_speedup == pytest.approx(3.0 / 1.5)
    assert costs["stock"].step_cost == pytest.approx(1.5 / 0.8)


def test_the_tax_and_the_memory() -> None:
    summary = summarise(make_bench())
    assert {tax.workload for tax in summary.taxes} == {*WORKLOADS, OVERALL}
    assert all(tax.identity_tax.value == pytest.approx(1.25) for tax in summary.taxes)
    facts = summary.facts_of(CANDIDATE)
    assert facts is not None
    assert facts.memory.peak == 1550
    assert facts.memory_overhead == pytest.approx(1550 / 1350)


def one_differs_of_three(key: str) -> Generation:
    return answer(key, blocks=[(4, 2)] * 10, token=8) if key == "code/p-1" else speculative(key)


def one_differs(key: str) -> Generation:
    return answer(key, blocks=[(4, 2)] * 10, token=8) if key == "code/p-3" else speculative(key)


def test_a_speedup_is_withheld_where_a_token_differs() -> None:
    found = summarise(make_bench(candidate=one_differs)).main
    assert found["code"].diverged == ("code/p-3",)
    assert (found["code"].speedup, found["code"].speedup_over) == (None, {})
    assert (found[OVERALL].speedup, found[OVERALL].speedup_over) == (None, {})
    assert found["chat"].speedup is not None


def test_one_prompt_has_no_interval() -> None:
    code = summarise(make_bench(prompts=1)).main["code"]
    assert code.speedup is not None
    assert code.speedup.geometric_mean.interval is None
    assert code.speedup.totals.interval is None
    assert code.speculation.draft_acceptance_rate.interval is None


def test_intervals_hold_their_estimates() -> None:
    code = summarise(make_bench(candidate=speculative_slower_later)).main["code"]
    assert code.speedup is not None
    for estimate in (code.speedup.geometric_mean, code.speedup.totals):
        assert estimate.value is not None
        assert estimate.interval is not None
        assert estimate.interval.low < estimate.value < estimate.interval.high


def test_the_summary_survives_json() -> None:
    summary = summarise(make_bench())
    assert msgspec.json.decode(msgspec.json.encode(summary), type=BenchSummary) == summary


def test_an_unfinished_measurement_says_so() -> None:
    bench = make_bench()
    summary = summarise(msgspec.structs.replace(bench, measured=bench.measured[:-1]))
    assert not summary.finished
    assert summary.expected - summary.answers == 1
    assert summary.main["code"].prompts == 9


def test_an_answer_that_came_twice_counts_once() -> None:
    bench = make_bench()
    twice = msgspec.structs.replace(bench, measured=(*bench.measured, bench.measured[-1]))
    assert summarise(twice) == summarise(bench)


def asked_again(bench: Bench, *, beside: bool) -> Bench:
    """The same with every prompt once more: in chunks of their own, or in those that there are."""
    again = [
        msgspec.structs.replace(
            each,
            chunk=each.chunk if beside else 100 + each.chunk,
            generation=msgspec.structs.replace(each.generation, key=f"{each.generation.key}~2"),
        )
        for each in bench.measured
    ]
    return msgspec.structs.replace(bench, measured=(*bench.measured, *again))


@pytest.mark.parametrize("beside", [False, True])
def test_a_prompt_that_was_asked_again_is_no_further_prompt(beside: bool) -> None:
    bench = make_bench(prompts=3, candidate=speculative_slower_later)
    once, twice = (
        summarise(each).main["code"] for each in (bench, asked_again(bench, beside=beside))
    )
    assert (twice.prompts, twice.speculation) == (3, once.speculation)
    assert twice.p99_ratio == once.p99_ratio
    assert once.speedup is not None
    assert twice.speedup is not None
    assert twice.speedup.geometric_mean.n == once.speedup.geometric_mean.n == 3
    if not beside:
        assert twice.speedup == once.speedup


def test_a_prompt_whose_answers_differ_diverged() -> None:
    bench = make_bench(prompts=3)
    again = asked_again(make_bench(prompts=3, candidate=one_differs_of_three), beside=True)
    mixed = msgspec.structs.replace(
        bench, measured=(*bench.measured, *again.measured[len(bench.measured) :])
    )
    assert summarise(mixed).main["code"].diverged == ("code/p-1",)


def test_the_measured_speedup_is_held_to_the_predicted_one() -> None:
    code = summarise(make_bench()).main["code"]
    # Steps of 15 ms for three tokens over steps of 10 ms for one: the prediction is exact here.
    assert code.costs["target"].measured_over_predicted == pytest.approx(1.0)
    assert code.costs["stock"].measured_over_predicted == pytest.approx(1.0)
    differing = summarise(make_bench(candidate=one_differs)).main["code"]
    assert differing.costs["target"].predicted_speedup is not None
    assert differing.costs["target"].measured_over_predicted is None


def test_the_floor_is_that_of_plain_steps_only() -> None:
    bench = msgspec.structs.replace(
        make_bench(), bandwidth=Bandwidth(bytes_per_second=1e6, buffer_bytes=1)
    )
    arms = {each.arm: each for each in summarise(bench).arm_summaries if each.workload == OVERALL}
    floor = arms["target"].floor
    assert floor is not None
    # 1000 bytes of weights, and 2 for each of 5 + 14.5 positions.
    assert floor.bytes_per_step == pytest.approx(1000 + 2 * (5 + (TOKENS - 1) / 2))
    assert floor.seconds == pytest.approx(floor.bytes_per_step / 1e6)
    assert floor.fraction == pytest.approx(floor.seconds / STEP)
    assert arms[CANDIDATE].floor is None


def test_what_an_arm_cost_beside_its_steps_is_kept() -> None:
    told = OverheadRecord(point=0, arm=CANDIDATE, notes=("2 CUDA graphs were captured",))
    summary = summarise(msgspec.structs.replace(make_bench(), spent=(told,)))
    facts = {each.arm: each.costs for each in summary.facts}
    assert facts == {"target": (), "stock": (), CANDIDATE: told.notes}
    assert f"{CANDIDATE}: {told.notes[0]}" in list(lines_of(summary))


@pytest.mark.parametrize(("takes", "asked_for", "rows"), [(64, 2, 2), (1, 2, 1), (64, 16, 10)])
def test_further_prompts_of_a_chunk_are_no_rows_of_its_batch(
    takes: int, asked_for: int, rows: int
) -> None:
    """Whatever an adapter says that it could take at once."""
    bench = make_bench(prompts=10, workloads=("code",))
    together = tuple(
        msgspec.structs.replace(each, chunk=0) for each in bench.measured if each.arm == "target"
    )
    probe = bench.probed[0]
    able = msgspec.structs.replace(probe.capabilities, batch_size=takes)
    probe = msgspec.structs.replace(probe, capabilities=able)
    assert Answers(together).rows(probe, batch_size=asked_for) == rows
