"""A judged run as a log of inspect, which its viewer and its `read_eval_log` read.

One sample a case: the input is the prompt as its suite has it, the target is what the target model
answered, the output is what the candidate answered. The scorer ``equivcheck`` gives C where the
case passed, I where it failed and N where nothing is known; graders have scorers of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from equivcheck import __version__
from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Case, Message
from equivcheck.core.errors import SuiteError
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.load_suites import load_suite
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, GenerationRecord, RequestRecord

SCORER = "equivcheck"
LETTERS = {Outcome.PASS: "C", Outcome.FAIL: "I", Outcome.INCONCLUSIVE: "N"}
_GRADES = {"right": "C", "wrong": "I"}
_ROLES = {"developer": "system"}
"""Roles that inspect does not have."""


def inspect_log_of(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """The log as plain data, to be written as JSON."""
    about: dict[str, list[Finding]] = {key: [] for key in evidence.asked}
    general: list[Finding] = []
    for finding in verdict.findings:
        about.get(finding.subject, general).append(finding)
    cases = cases_of(evidence)
    samples = [
        _sample(evidence, asked, cases.get(key), about[key])
        for key, asked in evidence.asked.items()
    ]
    about_run = {
        "run": evidence.header.run,
        "verdict": verdict.outcome.value,
        "headline": verdict.headline,
        "arms": {arm: told.engine for arm, told in evidence.header.arms.items()},
        "findings": [_told(finding) for finding in general],
    }
    return {
        "version": 2,
        "status": "success" if evidence.sealed else "cancelled",
        "eval": _spec(evidence) | {"metadata": about_run},
        "results": _results(samples),
        "samples": samples,
    }


def cases_of(evidence: Evidence) -> dict[str, Case]:
    """Case key to the case, of the suites that are still where the run found them, unchanged."""
    found: dict[str, Case] = {}
    for told in evidence.header.suites:
        try:
            suite = load_suite(told.path)
        except SuiteError:
            continue
        if suite.digest == told.digest:
            found |= {suite.key(case): case for case in suite.cases}
    return found


def _spec(evidence: Evidence) -> dict[str, Any]:
    header = evidence.header
    candidate = header.arms.get(CANDIDATE)
    return {
        "created": header.created,
        "task": SCORER,
        "task_id": header.run,
        "run_id": header.run,
        "eval_id": header.run,
        "model": candidate.engine if candidate else CANDIDATE,
        "dataset": {
            "name": ", ".join(suite.workload for suite in header.suites),
            "samples": len(evidence.asked),
            "sample_ids": list(evidence.asked),
        },
        "config": {},
        "packages": {SCORER: __version__},
    }


def _results(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The share of right answers by scorer, of those that it could tell."""
    by_scorer: dict[str, list[str]] = {}
    for sample in samples:
        for name, score in sample["scores"].items():
            by_scorer.setdefault(name, []).append(score["value"])
    answered = sum(bool(sample["output"]["choices"]) for sample in samples)
    return {
        "total_samples": len(samples),
        "completed_samples": answered,
        "scores": [_score_of(name, values) for name, values in by_scorer.items()],
    }


def _score_of(name: str, values: list[str]) -> dict[str, Any]:
    known = [value for value in values if value != "N"]
    share = {"accuracy": {"name": "accuracy", "value": known.count("C") / len(known)}}
    return {
        "name": name,
        "scorer": name,
        "scored_samples": len(known),
        "unscored_samples": len(values) - len(known),
        "metrics": share if known else {},
    }


def _sample(
    evidence: Evidence, asked: RequestRecord, case: Case | None, found: list[Finding]
) -> dict[str, Any]:
    key = asked.request.key
    target, candidate = (evidence.captured.get(arm, {}).get(key) for arm in (TARGET, CANDIDATE))
    told = _input(asked, case)
    answer = [] if candidate is None else [_message("assistant", candidate.text)]
    asked_for = [_message("user", told)] if isinstance(told, str) else told
    failed = [each for each in evidence.failures if (each.arm, each.key) == (CANDIDATE, key)]
    sample = {
        "id": key,
        "epoch": 1,
        "input": told,
        "target": "" if target is None else target.text,
        "messages": [*asked_for, *answer],
        "output": _output(evidence, candidate),
        "scores": dict(_scores(evidence, key, found)),
        "metadata": dict(_about(asked, target, candidate)),
    }
    if candidate is None and failed:
        said = failed[-1].message
        sample["error"] = {"message": said, "traceback": said, "traceback_ansi": said}
    return sample


def _input(asked: RequestRecord, case: Case | None) -> str | list[dict[str, Any]]:
    """What was asked, as the suite has it; records hold a prompt's ids alone."""
    if case is not None and case.prompt is not None:
        return case.prompt
    if case is not None and case.messages is not None:
        return [_of_suite(message) for message in case.messages]
    prompt = f"{len(asked.request.prompt_ids):,} token ids"
    return f"{prompt}, of {asked.path}:{asked.line}"


def _of_suite(message: Message) -> dict[str, Any]:
    """Calls of tools are shown as text: inspect's own need ids that suites may lack."""
    calls = "\n".join(str(call.get("function", call)) for call in message.tool_calls)
    text = "\n".join(filter(None, (message.content, calls)))
    return _message(_ROLES.get(message.role, message.role), text)


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _output(evidence: Evidence, answer: GenerationRecord | None) -> dict[str, Any]:
    arm = evidence.header.arms.get(CANDIDATE)
    told: dict[str, Any] = {"model": arm.engine if arm else CANDIDATE, "choices": []}
    if answer is None:
        return told
    given = answer.generation
    reason = "max_tokens" if given.finish_reason == "length" else "stop"
    read, written = given.prompt_tokens, len(given.token_ids)
    return told | {
        "choices": [{"message": _message("assistant", answer.text), "stop_reason": reason}],
        "completion": answer.text,
        "usage": {
            "input_tokens": read,
            "output_tokens": written,
            "total_tokens": read + written,
        },
        "time": given.total_seconds,
    }


def _scores(
    evidence: Evidence, key: str, found: list[Finding]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if found:
        worst = max(found, key=lambda each: each.outcome.severity)
        yield (
            SCORER,
            {
                "value": LETTERS[worst.outcome],
                "explanation": "\n".join(f"{each.check}: {each.headline}" for each in found),
                "metadata": {"findings": [_told(each) for each in found]},
            },
        )
    for grade in evidence.grades:
        if (grade.key, grade.arm) == (key, CANDIDATE):
            value = _GRADES.get(grade.result, "N")
            yield grade.grader, {"value": value, "explanation": grade.why}


def _about(
    asked: RequestRecord, target: GenerationRecord | None, candidate: GenerationRecord | None
) -> Iterator[tuple[str, Any]]:
    yield "workload", asked.workload
    yield "suite", f"{asked.path}:{asked.line}"
    if asked.before:
        yield "earlier_turns", list(asked.before)
    for arm, answer in ((TARGET, target), (CANDIDATE, candidate)):
        if answer is not None:
            yield f"{arm}_token_ids", list(answer.generation.token_ids)
    if candidate is not None and candidate.generation.totals is not None:
        counts = candidate.generation.drafts_counted
        yield "draft_tokens", counts.drafted
        yield "accepted_draft_tokens", counts.accepted


def _told(finding: Finding) -> Mapping[str, Any]:
    return {
        "check": finding.check,
        "subject": finding.subject,
        "outcome": finding.outcome.value,
        "reason": finding.reason.value,
        "headline": finding.headline,
        "details": list(finding.details),
        "repeat": finding.repeat,
    }
