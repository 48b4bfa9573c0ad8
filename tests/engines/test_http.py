"""Runs by URL, end to end: sound servers are not accused, faults are caught, deaths are resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from equivcheck import EngineSetup, Settings
from equivcheck.capture.capture import capture
from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.errors import EngineGoneError
from equivcheck.core.findings import Outcome
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, Evidence
from equivcheck.records.records_file import read_evidence
from tests.engines.native_server import NativeVllm
from tests.engines.suite import WORDS
from tests.unit.engines.http.stub import Reply, Stub, serving
from tests.unit.make import suite_of

SAMPLINGS = (
    Sampling(),
    Sampling(),
    Sampling(repetition_penalty=1.2, presence_penalty=0.3),
    Sampling(logit_bias={40: 3.0}, banned_tokens=(41,), min_new_tokens=4),
)
Serve = Callable[..., Stub]


def make_suite() -> Suite:
    cases = tuple(
        Case(
            id=f"c{index}",
            prompt=WORDS[index % len(WORDS)] * (1 + index % 4),
            max_new_tokens=16 + index,
            sampling=SAMPLINGS[index % len(SAMPLINGS)],
            stop=("zq",) if index % 4 == 0 else (),
        )
        for index in range(8)
    )
    return suite_of(cases, workload="by-url")


SUITE = make_suite()


@pytest.fixture
def serve(setup: EngineSetup) -> Iterator[Serve]:
    """Servers for the length of a test."""
    with ExitStack() as stack:
        yield lambda spec: stack.enter_context(serving(NativeVllm(spec, setup)))


def judged(settings: Settings, folder: Path, *, resume: bool = False) -> tuple[Verdict, Evidence]:
    verdict = run(settings, [SUITE], folder, resume=resume)
    return verdict, read_evidence(folder)


def by_url(
    setup: EngineSetup, target: Stub, candidate: Stub, *, dtype: str = ",dtype=float32"
) -> Settings:
    urls = (f"{each.url}{dtype}" for each in (target, candidate))
    return Settings(setup=setup, target=next(urls), candidate=next(urls), sampled=None)


def test_two_urls_and_a_verdict(serve: Serve, setup: EngineSetup, tmp_path: Path) -> None:
    settings = by_url(setup, serve("native:gamma=0"), serve("native:gamma=3"))
    verdict, evidence = judged(settings, tmp_path / "run")
    wrong = {each.check for each in verdict.findings if each.outcome is not Outcome.PASS}
    # Whether counts a request are enough for `engaged` is not this test's.
    assert wrong <= {"engaged"}
    told = evidence.header.arms[CANDIDATE]
    assert (told.num_speculative_tokens, told.reports_counts) == (3, True)
    counts = [each.generation.counts for each in evidence.captured[CANDIDATE].values()]
    assert sum(each.drafted for each in counts if each) > 0
    assert sum(each.accepted for each in counts if each) > 0


@pytest.mark.parametrize(
    "fault", ["bonus-lost", "final-flush-dropped", "delta-doubled", "row-off-by-one"]
)
def test_a_fault_behind_a_url_is_caught(
    serve: Serve, setup: EngineSetup, tmp_path: Path, fault: str
) -> None:
    candidate = serve(f"native:gamma=3,fault={fault}")
    settings = by_url(setup, serve("native:gamma=0"), candidate)
    verdict, _ = judged(settings, tmp_path / "run")
    assert verdict.outcome is Outcome.FAIL
    failed = {each.check for each in verdict.findings if each.outcome is Outcome.FAIL}
    assert "greedy" in failed


def test_without_a_dtype_nobody_is_accused_for_a_token(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    candidate = serve("native:gamma=3,fault=row-off-by-one")
    settings = by_url(setup, serve("native:gamma=0"), candidate, dtype="")
    verdict, _ = judged(settings, tmp_path / "run")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "greedy" in {each.check for each in verdict.findings if each.outcome is not Outcome.PASS}


def test_a_run_whose_server_died_is_resumed(
    serve: Serve, setup: EngineSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equivcheck.engines.http.wire.FIRST_WAIT", 0.01)
    target, candidate = serve("native:gamma=0"), serve("native:gamma=3")
    settings = by_url(setup, target, candidate)
    alive, left = candidate.handle, [7]

    def dies(path: str, body: object) -> Reply | None:
        if path == "/v1/completions":
            left[0] -= 1
        return Reply("", 503) if left[0] < 0 else alive(path, body)

    candidate.handle = dies
    with pytest.raises(EngineGoneError, match="status 503"):
        capture(settings, [SUITE], tmp_path / "run")
    kept = read_evidence(tmp_path / "run").captured[CANDIDATE]
    assert 0 < len(kept) < len(SUITE.cases)
    candidate.handle = alive
    candidate.seen.clear()
    verdict, evidence = judged(settings, tmp_path / "run", resume=True)
    assert verdict.outcome is not Outcome.FAIL
    assert len(evidence.captured[CANDIDATE]) == len(SUITE.cases)
