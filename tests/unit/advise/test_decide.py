from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.advise.decide import Figures, decide
from equivcheck.advise.policy import NO_PROOF, Policy, Proof
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Interval
from equivcheck.metrics.estimates import Estimate

PROVED = Proof(state="pass", why="run r: equivalent")
POLICY = Policy()


def between(low: float, high: float, *, n: int = 28) -> Estimate:
    return Estimate(value=(low + high) / 2, interval=Interval(low, high), n=n)


GOOD = Figures(
    speedup=between(1.3, 1.5),
    acceptance=between(0.5, 0.6),
    p99_ratio=between(1.1, 1.3),
    break_even=0.25,
)


def test_all_bounds_on_the_good_side_enable() -> None:
    decided = decide(GOOD, policy=POLICY, proof=PROVED)
    assert decided.decision == "enable"
    assert decided.reasons[0] == "speedup 1.40x [1.30, 1.50], at least 1.05x"


@pytest.mark.parametrize("proof", [NO_PROOF, Proof(state="inconclusive", why="too few tokens")])
def test_without_a_pass_nothing_is_enabled(proof: Proof) -> None:
    decided = decide(GOOD, policy=POLICY, proof=proof)
    assert decided.decision == "hold"
    assert decided.reasons == (f"equivalence is not proved: {proof.why}",)


def test_a_failed_proof_disables() -> None:
    decided = decide(GOOD, policy=POLICY, proof=Proof(state="fail", why="run r: diverged"))
    assert (decided.decision, decided.reasons) == ("disable", ("not equivalent: run r: diverged",))


@pytest.mark.parametrize(
    ("changed", "decision"),
    [
        ({"speedup": between(1.0, 1.2)}, "hold"),
        ({"speedup": between(0.9, 1.04)}, "disable"),
        ({"speedup": None}, "hold"),
        ({"speedup": Estimate(value=2.0, n=1)}, "hold"),
        ({"acceptance": between(0.38, 0.48)}, "hold"),
        ({"acceptance": between(0.36, 0.39)}, "hold"),
        ({"acceptance": between(0.30, 0.34)}, "disable"),
        ({"break_even": 0.7}, "disable"),
        ({"break_even": 0.55}, "hold"),
        ({"break_even": None}, "enable"),
        ({"p99_ratio": between(1.4, 1.6)}, "hold"),
        ({"p99_ratio": between(1.6, 1.8)}, "disable"),
        ({"p99_ratio": Estimate(value=1.2, n=28)}, "hold"),
    ],
)
def test_one_figure_decides(changed: dict[str, Estimate], decision: str) -> None:
    figures = GOOD._replace(**changed)  # type: ignore[arg-type]
    assert decide(figures, policy=POLICY, proof=PROVED).decision == decision


def test_a_missing_break_even_leaves_the_policys_threshold_and_is_said() -> None:
    unknown = GOOD._replace(break_even=None, drafted_per_step=0.007, acceptance=between(0.1, 0.2))
    decided = decide(unknown, policy=POLICY, proof=PROVED)
    assert (decided.decision, decided.reasons) == (
        "disable",
        (
            "acceptance 0.15 [0.10, 0.20], at least 0.40 "
            "(policy 0.40, break-even unknown at 0.007 drafts a step)",
        ),
    )


def test_a_hold_says_how_many_prompts_would_settle_it() -> None:
    # Half the width is 0.10, and 0.05 is the most it may be: four times the prompts.
    figures = GOOD._replace(acceptance=between(0.35, 0.55, n=20))
    assert decide(figures, policy=POLICY, proof=PROVED).more_prompts in (80, 81)
    hopeless = GOOD._replace(acceptance=between(0.36, 0.42, n=20))
    assert decide(hopeless, policy=POLICY, proof=PROVED).more_prompts is None


RATES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda ends: between(min(ends), max(ends)))
RATIOS = st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)).map(
    lambda ends: between(min(ends), max(ends))
)


@given(speedup=RATIOS, acceptance=RATES, p99=RATIOS, break_even=st.floats(0, 1))
def test_what_is_enabled_has_every_bound_on_the_good_side(
    speedup: Estimate, acceptance: Estimate, p99: Estimate, break_even: float
) -> None:
    figures = Figures(speedup, acceptance, p99, break_even)
    decided = decide(figures, policy=POLICY, proof=PROVED)
    assert speedup.interval is not None
    assert acceptance.interval is not None
    assert p99.interval is not None
    good = (
        speedup.interval.low >= POLICY.least_speedup
        and acceptance.interval.low >= max(POLICY.enable_at, break_even)
        and p99.interval.high <= POLICY.p99_limit
    )
    assert (decided.decision == "enable") == good
    assert decided.reasons


@given(acceptance=RATES)
def test_a_route_never_flaps_between_the_thresholds(acceptance: Estimate) -> None:
    decided = decide(GOOD._replace(acceptance=acceptance), policy=POLICY, proof=PROVED)
    assert acceptance.interval is not None
    low, high = acceptance.interval
    if POLICY.disable_at <= high and low < POLICY.enable_at:
        assert decided.decision == "hold"


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(SettingsError, match="would flap"):
        Policy(enable_at=0.3)
    assert msgspec.structs.asdict(Policy(enable_at=0.4, disable_at=0.4))["disable_at"] == 0.4
