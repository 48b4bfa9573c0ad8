"""Runs by URL whose draws are scored by the server: no weights are read on this side."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from equivcheck import EngineSetup, Settings
from equivcheck.checks.judged import judged_of
from equivcheck.checks.verdict import Verdict
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.pipeline.run import run
from equivcheck.records.records import SCORER, Evidence
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.statistics.profiles import PROFILES
from tests.engines.drawing import SMALL, drawn_suite
from tests.engines.scoring_server import ScoringVllm
from tests.small_models import save_pair
from tests.unit.engines.http.stub import Stub, serving

SUITES = [drawn_suite()]
Serve = Callable[..., Stub]
DTYPE = ",dtype=float32"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "default", SMALL)


@pytest.fixture
def serve(setup: EngineSetup) -> Iterator[Serve]:
    """Servers for the length of a test."""
    with ExitStack() as stack:

        def served(spec: str, **options: object) -> Stub:
            return stack.enter_context(serving(ScoringVllm(spec, setup, **options)))  # type: ignore[arg-type]

        yield served


def by_url(setup: EngineSetup, target: Stub, candidate: Stub, *, scorer: Stub) -> Settings:
    return Settings(
        setup=setup,
        target=target.url + DTYPE,
        candidate=candidate.url + DTYPE,
        scorer=scorer.url + DTYPE,
        control=None,
        sampled_batch=8,
    )


def judged(settings: Settings, folder: Path) -> tuple[Verdict, Evidence]:
    return run(settings, SUITES, folder), read_evidence(folder)


def distribution(verdict: Verdict) -> Finding:
    return next(found for found in verdict.findings if found.check == "sampled")


def without_weights(setup: EngineSetup, folder: Path) -> EngineSetup:
    """The same pair, of which only config and tokenizer are there."""
    target = Path(setup.pair.partition("+")[0])
    shutil.copytree(target, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    return msgspec.structs.replace(setup, pair=str(folder))


def test_a_sound_pair_of_servers_passes_without_weights(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    candidate = serve("native:gamma=3,rule=rejection")
    here = without_weights(setup, tmp_path / "model")
    verdict, evidence = judged(by_url(here, target, candidate, scorer=target), tmp_path / "run")
    found = distribution(verdict)
    assert (found.outcome, found.reason) == (Outcome.PASS, Reason.DISTRIBUTION_HELD), found.headline
    details = "\n".join(found.details)
    assert "scored by vllm at" in details
    assert "the best 48 log-probabilities a token; it agrees with the target on" in details
    # A repetition penalty multiplies logits, which nobody told.
    assert re.search("not judged at all: .*law/c5", details)
    counts = next(each for each in judged_of(evidence) if each.check == "sampled")
    assert counts.not_judged["the server that scores could not tell the distribution"] > 0
    assert counts.judged == found.n
    assert evidence.header.arms[SCORER].engine.startswith("http:")
    assert evidence.header.models["target"].endswith("(weights not read)")
    assert {each.reference.partition(" ")[0] for each in evidence.rescored} == {"vllm"}


def test_no_weights_are_loaded_on_this_side(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    here = without_weights(setup, tmp_path / "model")
    settings = by_url(here, target, target, scorer=target)
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(settings))
    code = (
        "import sys, msgspec; from pathlib import Path\n"
        "from equivcheck import Settings; from equivcheck.pipeline.run import run\n"
        "from tests.engines.drawing import drawn_suite, make_profiles_small\n"
        "make_profiles_small(); here = Path(sys.argv[1])\n"
        "settings = msgspec.json.decode((here / 'settings.json').read_bytes(), type=Settings)\n"
        "run(settings, [drawn_suite()], here / 'run')\n"
        "from equivcheck.pairs.load import _load_model\n"
        "assert _load_model.cache_info().misses == 0"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert read_evidence(tmp_path / "run").scores is not None


@pytest.mark.parametrize("fault", ["accepts-every-draft", "nucleus-ignored"])
def test_a_fault_behind_a_url_is_caught_by_the_scores_of_another(
    serve: Serve, setup: EngineSetup, tmp_path: Path, fault: str
) -> None:
    # Of 304: a cut at a mass lies that far down in a random model.
    target = serve("native:gamma=0", most=250)
    candidate = serve(f"native:gamma=3,rule=rejection,fault={fault}")
    verdict, _ = judged(by_url(setup, target, candidate, scorer=target), tmp_path / "run")
    assert distribution(verdict).outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL


def test_greedy_tokens_that_differ_are_arbitrated_by_the_server(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    candidate = serve("native:gamma=3,rule=rejection,fault=row-off-by-one")
    settings = msgspec.structs.replace(
        by_url(without_weights(setup, tmp_path / "model"), target, candidate, scorer=target),
        sampled=None,
    )
    verdict, evidence = judged(settings, tmp_path / "run")
    assert verdict.outcome is Outcome.FAIL
    diverged = [each for each in verdict.findings if each.reason is Reason.DIVERGED]
    assert diverged
    told = "\n".join(line for each in diverged for line in each.details)
    assert "the reference puts the two tokens" in told
    assert evidence.arbitrations
    assert evidence.arbitrations[0].magnitude is not None


def test_a_scorer_of_other_numbers_is_refused(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    half = msgspec.structs.replace(setup, dtype="bfloat16")
    scorer = serve("native:gamma=0", of=half)
    with pytest.raises(SettingsError, match=r"do not agree: .* has another log-probability by"):
        judged(by_url(setup, target, target, scorer=scorer), tmp_path / "run")


def test_a_scorer_of_another_model_is_refused(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    other = msgspec.structs.replace(setup, pair=save_pair(tmp_path / "pair", noise=0.3))
    other = msgspec.structs.replace(other, pair=other.pair.partition("+")[2])
    with pytest.raises(SettingsError, match="do not agree"):
        judged(
            by_url(setup, target, target, scorer=serve("native:gamma=0", of=other)),
            tmp_path / "run",
        )


def test_without_a_greedy_answer_nobody_scores(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    [suite] = SUITES
    cases = tuple(case for case in suite.cases if not case.sampling.greedy)
    lines = tuple(range(2, len(cases) + 2))
    sampled = msgspec.structs.replace(suite, cases=cases, lines=lines)
    with pytest.raises(SettingsError, match="no greedy answer of the target"):
        run(by_url(setup, target, target, scorer=target), [sampled], tmp_path / "run")


def test_an_interrupted_run_goes_on_with_its_scorer(
    serve: Serve, setup: EngineSetup, tmp_path: Path
) -> None:
    target = serve("native:gamma=0")
    settings = by_url(setup, target, target, scorer=target)
    judged(settings, tmp_path / "run")
    path = tmp_path / "run" / RECORDS_NAME
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["type"] not in ("finding", "verdict")]
    path.write_text("".join(kept[:-3]))
    verdict = run(settings, SUITES, tmp_path / "run", resume=True)
    assert distribution(verdict).outcome is Outcome.PASS, distribution(verdict).headline
