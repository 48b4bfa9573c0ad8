from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.advise.advise import advise, price_of_tokens
from equivcheck.advise.engine_settings import engine_settings
from equivcheck.advise.policy import (
    NO_PROOF,
    Policy,
    Proof,
    Route,
    Routes,
    read_routes,
    write_routes,
)
from equivcheck.advise.proofs import proof_from, proofs_from
from equivcheck.core.errors import EquivcheckError, RecordsError, SettingsError
from equivcheck.core.findings import Finding, Outcome, Reason, worst
from equivcheck.metrics.load_records import Arrivals, Objectives
from equivcheck.metrics.records import Bench, Point
from equivcheck.metrics.summarise import summarise
from equivcheck.records.records import CANDIDATE, Evidence, VerdictRecord
from tests.unit.make import make_capabilities, make_header
from tests.unit.metrics.make import CANDIDATE as ARM
from tests.unit.metrics.make import make_bench, make_loaded, speculative

PROVED = Proof(state="pass", why="run r: equivalent")
SUMMARY = summarise(
    make_bench(
        # 20 prompts of 30 tokens: enough values for a ratio of p99.
        prompts=20,
        candidate=lambda key: speculative(key, seconds=0.009),
    )
)


def advice(**options: object) -> Routes:
    return advise(
        SUMMARY,
        **{"proof_of": lambda arm: PROVED, "policy": Policy(), **options},  # type: ignore[arg-type]
    )


def test_a_good_candidate_is_enabled_for_every_workload() -> None:
    routes = advice().routes
    assert {name: route.decision for name, route in routes.items()} == {
        "chat": "enable",
        "code": "enable",
    }
    code = routes["code"]
    assert (code.enabled, code.arm, code.baseline) == (True, ARM, "stock")
    assert code.speedup.value == pytest.approx(0.8 * 0.01 / (0.009 / 3))
    assert code.acceptance_needed == pytest.approx(0.40)
    assert (code.num_speculative_tokens, code.pair) == (4, "tiny")


def test_a_route_tells_the_method_of_its_engine() -> None:
    bench = make_bench(prompts=20, candidate=lambda key: speculative(key, seconds=0.009))
    probed = tuple(
        msgspec.structs.replace(
            each, capabilities=msgspec.structs.replace(each.capabilities, method="mtp")
        )
        for each in bench.probed
    )
    told = summarise(msgspec.structs.replace(bench, probed=probed))
    found = advise(told, proof_of=lambda arm: PROVED, policy=Policy()).routes["code"]
    assert found.method == "mtp"
    assert '"method": "mtp"' in engine_settings(found)["vllm"]


def test_the_break_even_is_that_of_the_baseline() -> None:
    over_stock = advice().routes["code"].costs.break_even
    over_target = advice(baseline="target").routes["code"].costs.break_even
    assert over_stock == pytest.approx((0.9 / 0.8 - 1) / 4)
    assert over_target == pytest.approx((0.9 - 1) / 4)


def test_a_hold_keeps_the_state_that_was() -> None:
    before = advice()
    held = advice(proof_of=lambda arm: NO_PROOF)
    assert {route.enabled for route in held.routes.values()} == {False}
    kept = advice(proof_of=lambda arm: NO_PROOF, previous=before)
    assert {route.decision for route in kept.routes.values()} == {"hold"}
    assert {route.enabled for route in kept.routes.values()} == {True}


@pytest.mark.parametrize(
    "other",
    [
        {"arm": "otherengine:gamma=7"},
        {"pair": "a+b"},
        {"num_speculative_tokens": 7},
        {"drafter": "lookup"},
        {"method": "mtp"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_hold_keeps_nothing_of_another_decoder(other: dict[str, object]) -> None:
    before = advice()
    routes = {
        name: msgspec.structs.replace(route, **other) for name, route in before.routes.items()
    }
    previous = msgspec.structs.replace(before, routes=routes)
    for route in advice(proof_of=lambda arm: NO_PROOF, previous=previous).routes.values():
        assert (route.decision, route.enabled) == ("hold", False)
        assert route.reasons[-1].startswith("off: what was enabled is another decoder, ")
    assert advice(previous=previous).routes["code"].enabled


def test_the_price_of_tokens() -> None:
    assert price_of_tokens(tokens_per_second=1000.0, price_per_hour=3.6) == pytest.approx(1.0)
    assert price_of_tokens(tokens_per_second=None, price_per_hour=3.6) is None
    cost = advice(price_per_hour=3.6).routes["code"].cost
    assert cost is not None
    assert cost.plain is not None
    assert cost.speculative is not None
    assert cost.plain / cost.speculative == pytest.approx(0.008 / 0.003)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arm": "native:gama=4"}, "did you mean 'native:gamma=4'"),
        ({"baseline": "plain"}, "no baseline named 'plain'"),
        ({"point": 1}, "no point 1; the measurement has 1"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        advice(**options)


def test_routes_survive_the_disk(tmp_path: Path) -> None:
    routes = advice(price_per_hour=2.0)
    write_routes(tmp_path / "deep" / "routes.json", routes)
    assert read_routes(tmp_path / "deep" / "routes.json") == routes


def test_routes_that_cannot_be_written_are_named() -> None:
    with pytest.raises(EquivcheckError, match=r"^/dev/null/x: cannot be written: not a folder$"):
        write_routes(Path("/dev/null/x"), advice())


def test_bad_routes_name_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    with pytest.raises(RecordsError, match=r"no such routes file"):
        read_routes(path)
    path.write_text('{"schema": 1, "run": 3}')
    with pytest.raises(RecordsError, match=r"routes\.json: run: expected `str`"):
        read_routes(path)
    path.write_text("{")
    with pytest.raises(RecordsError, match=r"routes\.json: not valid JSON"):
        read_routes(path)


def about(check: str, outcome: Outcome) -> Finding:
    return Finding(
        check=check, subject="code", outcome=outcome, reason=Reason.HELD, headline="found so"
    )


def judged(bench: Bench, outcome: Outcome = Outcome.PASS) -> Evidence:
    header = msgspec.structs.replace(
        make_header(),
        arms={CANDIDATE: make_capabilities(engine=ARM)},
        models=bench.header.models,
    )
    setup = msgspec.structs.replace(header.settings.setup, pair="tiny")
    settings = msgspec.structs.replace(header.settings, setup=setup)
    return Evidence(
        header=msgspec.structs.replace(header, settings=settings),
        asked={},
        captured={},
        findings=(about("greedy", outcome),),
        sealed=VerdictRecord(outcome=outcome, headline="said so", counts={}),
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_a_judged_run_of_the_same_decoder_is_a_proof(outcome: Outcome) -> None:
    bench = make_bench()
    proof = proof_from(judged(bench, outcome), bench, bench.arms[ARM])
    assert proof.state == outcome.value
    assert proof.why.endswith(": said so")


@pytest.mark.parametrize("limit", [Outcome.FAIL, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("outcome", Outcome)
def test_a_limit_that_was_missed_says_nothing_against_equivalence(
    outcome: Outcome, limit: Outcome
) -> None:
    bench = make_bench()
    found = (about("greedy", outcome), about("acceptance", limit), about("baseline", limit))
    sealed = VerdictRecord(
        outcome=worst([each.outcome for each in found]), headline="LIMIT NOT MET", counts={}
    )
    evidence = msgspec.structs.replace(judged(bench), findings=found, sealed=sealed)
    proof = proof_from(evidence, bench, bench.arms[ARM])
    assert proof.state == outcome.value
    assert proof.why.endswith(": LIMIT NOT MET")
    assert ("without its limits" in proof.why) == (sealed.outcome is not outcome)


def test_a_run_that_found_limits_only_proves_nothing() -> None:
    bench = make_bench()
    found = (about("acceptance", Outcome.PASS),)
    evidence = msgspec.structs.replace(judged(bench), findings=found)
    assert proof_from(evidence, bench, bench.arms[ARM]).state == "inconclusive"


def test_a_run_of_another_decoder_proves_nothing() -> None:
    bench = make_bench()
    evidence = judged(bench)
    other = msgspec.structs.replace(
        evidence,
        header=msgspec.structs.replace(
            evidence.header, arms={CANDIDATE: make_capabilities(engine="native:gamma=2")}
        ),
    )
    proof = proof_from(other, bench, bench.arms[ARM])
    assert proof.state == "none"
    assert "is about another engine: 'native:gamma=2', not 'native:gamma=4'" in proof.why


def test_an_unfinished_run_proves_nothing() -> None:
    bench = make_bench()
    unfinished = msgspec.structs.replace(judged(bench), sealed=None)
    assert proof_from(unfinished, bench, bench.arms[ARM]).state == "none"
    assert proofs_from(None, bench)(ARM) == NO_PROOF


def under_load(*, slower: float, tpot: float, runs: int = 10) -> Route:
    bench = make_loaded(runs=runs, slower=slower, objectives=Objectives(tpot=tpot))
    return advise(summarise(bench), proof_of=lambda arm: PROVED, policy=Policy()).routes["code"]


def test_a_route_under_load_is_decided_by_requests_and_says_so() -> None:
    route = under_load(slower=1.0, tpot=0.009)
    assert (route.decision, route.baseline) == ("enable", "stock")
    assert route.load == "poisson:10, runs of 20, good is TPOT 9 ms"
    # 0.2 s until the first token, then 8 ms or 6 ms each.
    assert route.speedup.value == pytest.approx((0.2 + 29 * 0.008) / (0.2 + 29 * 0.006), rel=1e-2)
    assert route.speedup.n == 10
    assert route.goodput_ratio.value == 1.0
    assert any(each.startswith("goodput ratio 1.00 [0.98, 1.0") for each in route.reasons)
    assert advice().routes["code"].load is None


def test_where_it_stops_paying_is_told_by_the_load_it_is_asked_of() -> None:
    def rate(value: float) -> Point:
        arrivals = Arrivals(kind="poisson", requests=10, rate=value)
        return Point(batch_size=4, context=64, arrivals=arrivals)

    bench = make_bench(prompts=20, points=(rate(1.0), rate(8.0), Point(batch_size=4, context=64)))
    # At the first point as fast as ever, at the others half as fast as plain decoding.
    measured = tuple(
        each
        if each.point == 0 or each.arm != ARM
        else msgspec.structs.replace(each, seconds=8 * each.seconds)
        for each in bench.measured
    )
    summary = summarise(msgspec.structs.replace(bench, measured=measured))
    given = {"proof_of": lambda arm: PROVED, "policy": Policy()}
    found = advise(summary, **given).routes["code"].crossovers  # type: ignore[arg-type]
    assert list(found) == ["rate"]
    assert 1.0 < found["rate"] < 8.0
    assert advise(summary, point=2, **given).routes["code"].crossovers == {}  # type: ignore[arg-type]


def test_requests_that_miss_the_limits_switch_a_route_off() -> None:
    # As fast on the whole would be enough; a token takes longer than is allowed.
    route = under_load(slower=1.4, tpot=0.0082)
    assert route.decision == "disable"
    assert "goodput ratio 0.00 [0.00, 0.0" in " ".join(route.reasons)


def test_few_runs_decide_nothing_and_count_as_runs() -> None:
    route = under_load(slower=1.0, tpot=0.009, runs=3)
    assert route.decision == "hold"
    assert "goodput ratio has no interval from 3 runs, at least 0.95 is needed" in route.reasons
    assert "p99 ratio not estimable from 3 runs" in route.reasons
    assert route.more_prompts is None
