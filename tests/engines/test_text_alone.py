"""Two servers that know text alone: faults are caught, sound ones are text-identical."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from equivcheck import EngineSetup, Settings
from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, SAMPLED, Evidence
from equivcheck.records.records_file import read_evidence
from tests.engines.native_server import NativeVllm
from tests.engines.suite import WORDS
from tests.engines.text_server import TextServer
from tests.unit.engines.http.stub import Stub, serving
from tests.unit.make import suite_of

Serve = Callable[[str], Stub]
DISTRIBUTION = Sampling(temperature=0.3)


def make_suite(*, greedy: int = 5, sampled: int = 0) -> Suite:
    cases = [
        Case(
            id=f"c{index}",
            prompt=WORDS[index % len(WORDS)] * (1 + index % 3),
            max_new_tokens=14 + index,
            stop=("zq",) if index == 3 else (),
        )
        for index in range(greedy)
    ]
    cases += [
        Case(id=f"s{index}", prompt=WORDS[index], max_new_tokens=12, sampling=DISTRIBUTION)
        for index in range(sampled)
    ]
    return suite_of(cases, workload="by-text")


@pytest.fixture
def setup() -> EngineSetup:
    """The bundled pair: an untrained one emits what no tokenizer would choose."""
    return EngineSetup(threads=1, batch_size=4, context=256)


@pytest.fixture
def serve(setup: EngineSetup) -> Iterator[Serve]:
    """Servers for the length of a test."""
    with ExitStack() as stack:
        yield lambda spec: stack.enter_context(serving(TextServer(spec, setup)))


def judged(settings: Settings, suite: Suite, folder: Path) -> tuple[Verdict, Evidence]:
    return run(settings, [suite], folder), read_evidence(folder)


def by_text(setup: EngineSetup, serve: Serve, candidate: str) -> Settings:
    plain, other = serve("native:gamma=0").url, serve(candidate).url
    return Settings(
        setup=setup,
        target=f"{plain},dtype=float32",
        # Alone, so that the server's counters are those of one request.
        candidate=f"{other},dtype=float32,gamma=3,batch=1",
        sampled=None,
    )


def test_sound_servers_are_text_identical(serve: Serve, setup: EngineSetup, tmp_path: Path) -> None:
    settings = by_text(setup, serve, "native:gamma=3")
    verdict, evidence = judged(settings, make_suite(), tmp_path / "run")
    assert verdict.outcome is Outcome.PASS
    assert "text-identical on 5 of 5 prompts" in verdict.headline
    assert evidence.header.arms[CANDIDATE].text_alone
    reports = [each for each in (tmp_path / "run").iterdir() if each.suffix in {".md", ".html"}]
    assert reports
    for each in reports:
        said = each.read_text().partition("<dl")[0]
        assert "text-identical" in said
        assert "token for token" not in said


@pytest.mark.parametrize("fault", ["bonus-lost", "delta-doubled", "row-off-by-one"])
def test_a_fault_shows_in_text(
    serve: Serve, setup: EngineSetup, tmp_path: Path, fault: str
) -> None:
    settings = by_text(setup, serve, f"native:gamma=3,fault={fault}")
    verdict, evidence = judged(settings, make_suite(), tmp_path / "run")
    assert verdict.outcome is Outcome.FAIL
    assert "diverged in text" in verdict.headline
    assert all(each.text for each in evidence.arbitrations)


def test_sampled_text_is_not_judged_by_scores(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    settings = by_text(setup, serve, "native:gamma=3")
    # Asked for, and not done: nobody knows which tokens were drawn.
    settings = Settings(setup=setup, target=settings.target, candidate=settings.candidate)
    verdict, evidence = judged(settings, make_suite(sampled=2), tmp_path / "run")
    assert SAMPLED not in evidence.draws
    assert verdict.outcome is Outcome.INCONCLUSIVE
    [coupled] = [each for each in verdict.findings if each.check == "coupled"]
    assert coupled.reason is Reason.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("candidate", "distribution"),
    [
        ("native:gamma=3,rule=rejection", {Reason.DISTRIBUTION_HELD, Reason.UNDERPOWERED}),
        ("native:gamma=3,rule=rejection,fault=temperature-one", {Reason.DISTRIBUTION_BROKEN}),
    ],
    ids=["sound", "fault"],
)
def test_two_servers_draws_are_compared_by_text(
    serve: Serve, setup: EngineSetup, tmp_path: Path, candidate: str, distribution: set[Reason]
) -> None:
    settings = by_text(setup, serve, candidate)
    settings = Settings(
        setup=setup,
        target=settings.target,
        candidate=settings.candidate,
        control=None,
        law_evidence="tokens",
        sampled_tokens=400,
    )
    verdict, _ = judged(settings, make_suite(greedy=1, sampled=2), tmp_path / "run")
    [found] = [each for each in verdict.findings if each.check == "sampled"]
    assert found.reason in distribution


def test_text_is_not_compared_with_ids(serve: Serve, setup: EngineSetup, tmp_path: Path) -> None:
    text = serve("native:gamma=3").url
    with serving(NativeVllm("native:gamma=0", setup)) as ids:
        settings = Settings(setup=setup, target=ids.url, candidate=f"{text},gamma=3", sampled=None)
        with pytest.raises(SettingsError, match="candidate gives text and no token ids, and targe"):
            run(settings, [make_suite()], tmp_path / "run")


def test_no_server_scores_text(serve: Serve, setup: EngineSetup, tmp_path: Path) -> None:
    settings = by_text(setup, serve, "native:gamma=3")
    settings = Settings(
        setup=setup,
        target=settings.target,
        candidate=settings.candidate,
        scorer=f"{serve('native:gamma=0').url},dtype=float32",
    )
    with pytest.raises(SettingsError, match="scorer: candidate gives text and no token ids"):
        run(settings, [make_suite()], tmp_path / "run")
