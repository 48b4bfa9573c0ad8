"""Suites whose requests come and go, on engines that serve, that cannot, and that break at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from equivcheck.capture.capture import capture
from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Suite
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation, Request
from equivcheck.core.load_suites import load_suite
from equivcheck.core.serving import ServedEvent, Serving
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.core.times import ServingLimits
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import OpenEngine, lent, load_engine
from equivcheck.pipeline.run import run
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import CANDIDATE, SERVED, SERVED_TARGET
from equivcheck.records.records_file import read_evidence

SETUP = EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=2, context=256)
SETTINGS = Settings(
    setup=SETUP,
    candidate="native:gamma=3",
    control=None,
    sampled=None,
    probe_every=1000,
    rescore_every=1000,
    baseline=None,
)
HEADER = {"equivcheck": 1, "workload": "p", "serving": {"prefix_tokens": 128}}
TEXT = "The king looked out upon the sea, and the sea looked back at him. "
CASES = (
    {"id": "a", "prompt": TEXT, "max_new_tokens": 12},
    {"id": "b", "prompt": TEXT + "Then", "give_up_after": {"tokens": 3}, "max_new_tokens": 16},
    {"id": "c", "prompt": TEXT + "So", "give_up_after": {"tokens": 0}, "retry": {"step": 2}},
    {"id": "s.1", "session": "s", "prompt": "Once upon a time", "arrives": {"step": 1}},
    {"id": "s.2", "session": "s", "prompt": " and then", "arrives": {"step": 2}},
    {"id": "d", "prompt": TEXT, "arrives": {"wave": 1}},
)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A few requests, two rows."""
    path = tmp_path / "p.jsonl"
    lines = [HEADER, *({"max_new_tokens": 8, "ignore_eos": True, **case} for case in CASES)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_suite(path)


class Mine:
    """The native engine, with a service that may break."""

    def __init__(self, setup: EngineSetup, *, serves: bool, breaks: list[BaseException]) -> None:
        self.engine, self.serves, self.breaks = load_engine("native:gamma=3", setup), serves, breaks

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(
            self.engine.capabilities, engine="mine:x=1", serves=self.serves
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        yield from self.engine.generate(requests)

    def serve(self, limits: ServingLimits) -> Serving:
        assert isinstance(self.engine, NativeEngine)
        service = self.engine.serve(limits)
        advance = service.advance

        def breaking() -> list[ServedEvent]:
            if service.steps > 6 and self.breaks:
                raise self.breaks.pop()
            return advance()

        service.advance = breaking  # type: ignore[method-assign]
        return service

    def close(self) -> None:
        self.engine.close()


def opener(*, serves: bool = True, breaks: Sequence[BaseException] = ()) -> dict[str, OpenEngine]:
    left = list(breaks)
    return {"mine": lambda options, setup: Mine(setup, serves=serves, breaks=left)}


def of_schedules(verdict: Verdict) -> list[Finding]:
    return [each for each in verdict.findings if each.check == "schedules"]


def test_both_arms_serve_and_the_same_happens_again(suite: Suite, tmp_path: Path) -> None:
    verdict = run(SETTINGS, [suite], tmp_path / "one")
    assert verdict.outcome is Outcome.PASS, verdict.headline
    total, ours, theirs = of_schedules(verdict)
    assert total.headline.startswith("candidate served 6 requests (2 given up, ")
    assert ours.headline.startswith("candidate: 6 of 6 requests answered alike")
    assert theirs.headline.startswith("target: 6 of 6 requests answered alike")
    evidence = read_evidence(tmp_path / "one")
    assert {each.arm for each in evidence.served} == {SERVED, SERVED_TARGET}
    planned = evidence.header.planned
    assert planned[SERVED] == planned[SERVED_TARGET] == ("p/a", "p/c", "p/s.1", "p/s.2", "p/d")
    own, alone = evidence.captured[SERVED]["p/s.2"], evidence.captured[CANDIDATE]["p/s.2"]
    assert own.prompt_ids == alone.prompt_ids
    digest = evidence_digest(evidence)
    run(SETTINGS, [suite], tmp_path / "again")
    assert evidence_digest(read_evidence(tmp_path / "again")) == digest


def test_an_engine_that_cannot_serve_is_asked_as_ever(suite: Suite, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, candidate="mine:x=1")
    with lent(opener(serves=False)):
        verdict = run(settings, [suite], tmp_path / "run")
    assert verdict.outcome is Outcome.PASS
    assert verdict.headline.endswith(", without the times of p, which mine cannot keep")
    ours, theirs = of_schedules(verdict)
    assert ours.reason is Reason.LEFT_OUT
    assert theirs.headline.startswith("target: 6 of 6")


def test_a_service_that_breaks_is_no_pass(suite: Suite, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, candidate="mine:x=1")
    with lent(opener(breaks=[EngineError("out of blocks")])):
        verdict = run(settings, [suite], tmp_path / "run")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    missing = [each.headline for each in verdict.findings if each.reason is Reason.MISSING]
    assert missing == ["served answered 0 of 5 cases", "candidate: it was not served to its end"]
    failures = read_evidence(tmp_path / "run").failures
    assert {each.arm for each in failures} == {SERVED}
    assert failures[0].message == "while p was served: out of blocks"


def test_what_was_interrupted_is_served_again(suite: Suite, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, candidate="mine:x=1")
    with lent(opener(breaks=[KeyboardInterrupt()])):
        with pytest.raises(KeyboardInterrupt):
            capture(settings, [suite], tmp_path / "run")
        (only,) = read_evidence(tmp_path / "run").served
        assert only.arm == SERVED_TARGET
        verdict = run(settings, [suite], tmp_path / "run", resume=True)
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert len(read_evidence(tmp_path / "run").served) == 2
