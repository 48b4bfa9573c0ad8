"""What is said of a verdict, and whether that is what an entry wants."""

from __future__ import annotations

import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.fault_matrix.result import Said, by_check, is_caught, say
from equivcheck.faults.fault import Breaks

FAIL, UNSURE, PASS = Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS


def verdict(**outcomes: Outcome) -> Verdict:
    """A verdict on one finding a check, and one that passed beside it."""
    findings = [
        Finding(check=check, subject="run", outcome=outcome, reason=Reason.HELD, headline="")
        for check, said in outcomes.items()
        for outcome in (PASS, said)
    ]
    return Verdict(outcome=FAIL, headline="", findings=tuple(findings))


@pytest.mark.parametrize(
    ("outcomes", "degraded", "missing", "said"),
    [
        ({"greedy": PASS, "counters": PASS}, False, (), Said.EQUIVALENT),
        ({"greedy": PASS}, False, ("plain: an event",), Said.INCONCLUSIVE),
        ({"greedy": PASS}, True, (), Said.DEGRADED),
        ({"greedy": PASS, "engaged": UNSURE}, True, (), Said.DEGRADED),
        ({"greedy": PASS, "engaged": UNSURE}, False, (), Said.NOT_TESTED),
        ({"greedy": UNSURE, "engaged": UNSURE}, True, (), Said.INCONCLUSIVE),
        ({"counters": FAIL, "engaged": UNSURE}, True, (), Said.ACCOUNTING),
        ({"counters": FAIL, "stopping": FAIL}, False, (), Said.INTERFACE),
        ({"logprobs": FAIL}, False, (), Said.INTERFACE),
        ({"counters": FAIL, "coupled": FAIL}, True, (), Said.NOT_EQUIVALENT),
        ({"sampled": FAIL}, False, (), Said.NOT_EQUIVALENT),
    ],
)
def test_the_gravest_is_said(
    outcomes: dict[str, Outcome], degraded: bool, missing: tuple[str, ...], said: Said
) -> None:
    assert say(verdict(**outcomes), degraded=degraded, missing=missing) is said


@pytest.mark.parametrize(
    ("breaks", "caught_by", "said", "checks", "caught"),
    [
        ("losslessness", "greedy", Said.NOT_EQUIVALENT, {"greedy": FAIL}, True),
        ("losslessness", "greedy", Said.NOT_EQUIVALENT, {"coupled": FAIL}, False),
        ("interface", "stopping", Said.NOT_EQUIVALENT, {"stopping": FAIL}, True),
        ("measurement", "counters", Said.ACCOUNTING, {"counters": FAIL}, True),
        ("measurement", "counters", Said.INTERFACE, {"counters": FAIL}, False),
        ("speed", "acceptance", Said.DEGRADED, {}, True),
        ("speed", "acceptance", Said.NOT_EQUIVALENT, {"greedy": FAIL}, False),
        ("speed", "engaged", Said.NOT_TESTED, {}, True),
        ("speed", "engaged", Said.EQUIVALENT, {}, False),
        ("nothing", "", Said.EQUIVALENT, {}, True),
        ("nothing", "", Said.INCONCLUSIVE, {}, False),
        ("nothing", "", Said.ACCOUNTING, {"counters": FAIL}, False),
    ],
)
def test_a_fault_is_caught_by_its_own_check_and_called_by_its_kind(
    breaks: Breaks, caught_by: str, said: Said, checks: dict[str, Outcome], caught: bool
) -> None:
    assert is_caught(said, checks, breaks=breaks, caught_by=caught_by) is caught


def test_a_check_is_as_bad_as_its_worst_finding() -> None:
    assert by_check(verdict(greedy=FAIL, engaged=UNSURE, stopping=PASS).findings) == {
        "greedy": FAIL,
        "engaged": UNSURE,
        "stopping": PASS,
    }
