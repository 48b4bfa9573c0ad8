"""JUnit XML: every finding is there, and what is no pass is a failure of its own type."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import msgspec

from equivcheck.checks.verdict import Verdict
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.report.export.junit import junit_of

FINDINGS = (
    Finding(
        check="greedy", subject="code", outcome=Outcome.PASS, reason=Reason.IDENTICAL, headline="x"
    ),
    Finding(
        check="greedy",
        subject="code/a<b>\x1b[31m",
        outcome=Outcome.FAIL,
        reason=Reason.DIVERGED,
        headline="5 became 6 \x00 & <script>",
        details=("at token 3",),
        repeat="equivcheck replay r code/a",
    ),
    Finding(
        check="engaged",
        subject="code",
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.NOT_ENGAGED,
        headline="no drafts",
    ),
)


def test_findings_are_test_cases_and_what_is_not_known_does_not_pass() -> None:
    verdict = Verdict(outcome=Outcome.FAIL, headline="h", findings=FINDINGS)
    suite = fromstring(junit_of(verdict, run="r"))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    failures = [case.find("failure") for case in suite]
    assert [each is not None and each.get("type") for each in failures] == [
        False,
        "diverged",
        "not-engaged",
    ]
    assert failures[1] is not None
    assert failures[1].text is not None
    assert failures[1].text.splitlines()[1:] == ["at token 3", "equivcheck replay r code/a"]


def test_a_pass_has_no_failure() -> None:
    verdict = msgspec.structs.replace(
        Verdict(outcome=Outcome.PASS, headline="h", findings=FINDINGS[:1])
    )
    assert "failure " not in junit_of(verdict, run="r")
