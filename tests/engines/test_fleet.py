"""Several servers as one candidate: sound ones pass, a bad one is named, a dead one is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from equivcheck import EngineSetup, Settings
from equivcheck.checks.verdict import Verdict
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, Evidence
from equivcheck.records.records_file import read_evidence
from tests.engines.native_server import NativeVllm
from tests.engines.test_http import make_suite
from tests.unit.engines.http.stub import Reply, Stub, serving

WHOLE = make_suite()
SUITE = replace(WHOLE, cases=WHOLE.cases[:5], lines=WHOLE.lines[:5])
SOUND, BAD = "native:gamma=3", "native:gamma=3,fault=bonus-lost"
Serve = Callable[..., Stub]


@pytest.fixture
def serve(setup: EngineSetup) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda spec: stack.enter_context(serving(NativeVllm(spec, setup)))


def fleet(
    setup: EngineSetup, target: Stub, *candidates: Stub, dtype: str = ",dtype=float32"
) -> Settings:
    return Settings(
        setup=setup,
        target=f"{target.url}{dtype}",
        candidate="+".join(each.url for each in candidates) + dtype,
        sampled=None,
        control=None,
        probe_every=1,
    )


def judged(settings: Settings, folder: Path) -> tuple[Verdict, Evidence]:
    return run(settings, [SUITE], folder), read_evidence(folder)


def of_replicas(verdict: Verdict) -> list[Finding]:
    return [each for each in verdict.findings if each.check == "replicas"]


def test_sound_replicas_share_the_cases_and_pass(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    one, other = serve(SOUND), serve(SOUND)
    verdict, evidence = judged(fleet(setup, serve("native:gamma=0"), one, other), tmp_path / "run")
    assert verdict.outcome is not Outcome.FAIL
    (found,) = of_replicas(verdict)
    assert (found.outcome, found.reason) == (Outcome.PASS, Reason.IDENTICAL)
    assert found.headline == "10 of 10 answers of 2 replicas the target's"
    assert set(evidence.captured["replica-2"]) == {f"by-url/c{index}" for index in range(5)}
    assert one.asked("/v1/completions")
    assert other.asked("/v1/completions")


def test_the_bad_replica_is_named(serve: Serve, setup: EngineSetup, tmp_path: Path) -> None:
    one, other = serve(SOUND), serve(BAD)
    verdict, _ = judged(fleet(setup, serve("native:gamma=0"), one, other), tmp_path / "run")
    assert verdict.outcome is Outcome.FAIL
    (found,) = of_replicas(verdict)
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.REPLICA_DIFFERS)
    assert found.headline.startswith("replica-2 parts from target on ")
    assert found.headline.endswith("replica-1 on 0 of 5 cases")
    assert other.url in found.details[0]


def test_a_replica_that_dies_costs_no_answer_and_is_told(
    serve: Serve,
    setup: EngineSetup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("equivcheck.engines.http.wire.FIRST_WAIT", 0.001)
    one, other = serve(SOUND), serve(SOUND)
    alive, left = other.handle, [3]

    def dying(path: str, body: object) -> Reply | None:
        left[0] -= "completions" in path
        return alive(path, body) if left[0] >= 0 else Reply(status=503)

    other.handle = dying
    verdict, evidence = judged(fleet(setup, serve("native:gamma=0"), one, other), tmp_path / "run")
    assert len(evidence.captured[CANDIDATE]) == len(SUITE.cases)
    assert f"replica {other.url} is left out" in caplog.text
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("replica-2" in each.headline for each in verdict.findings)


def test_replicas_have_to_be_of_one_kind(serve: Serve, setup: EngineSetup, tmp_path: Path) -> None:
    settings = fleet(setup, serve("native:gamma=0"), serve(SOUND), serve("native:gamma=2"))
    with pytest.raises(SettingsError, match="replicas differ: num_speculative_tokens is 3 at"):
        run(settings, [SUITE], tmp_path / "run")
    twice = replace(settings, candidate=f"{settings.target.partition(',')[0]}+{settings.target}")
    with pytest.raises(SettingsError, match="given twice"):
        run(twice, [SUITE], tmp_path / "run")
