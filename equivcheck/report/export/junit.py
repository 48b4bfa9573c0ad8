"""A judged run as JUnit XML, which CI systems show: a test case for each finding.

What is inconclusive is a failure too, of its own type: not knowing is not passing.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from equivcheck.checks.verdict import Verdict
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome


def junit_of(verdict: Verdict, *, run: str) -> str:
    """The document, with a last line end. Text of models and engines is escaped."""
    bad = [each for each in verdict.findings if each.outcome is not Outcome.PASS]
    counts: dict[str, str] = {
        "tests": str(len(verdict.findings)),
        "failures": str(len(bad)),
        "errors": "0",
    }
    root = Element("testsuites", {"name": "equivcheck", **counts})
    suite = SubElement(root, "testsuite", {"name": f"equivcheck {visible(run)}", **counts})
    for finding in verdict.findings:
        _case(suite, finding)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{tostring(root, encoding='unicode')}\n"


def _case(suite: Element, finding: Finding) -> None:
    name = {"classname": f"equivcheck.{finding.check}", "name": visible(finding.subject)}
    case = SubElement(suite, "testcase", name)
    if finding.outcome is Outcome.PASS:
        return
    said = visible(finding.headline)
    failure = SubElement(case, "failure", type=str(finding.reason.value), message=said)
    repeat = (finding.repeat,) if finding.repeat else ()
    failure.text = "\n".join(map(visible, (finding.headline, *finding.details, *repeat)))
