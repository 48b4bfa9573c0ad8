"""Whole runs on a small random pair: complete, interrupted, broken."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from equivcheck.capture import arms as opening_arms
from equivcheck.capture.capture import capture
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import EngineError, RecordsError, SettingsError, SuiteError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, CONTROL, REPEAT, SHUFFLED, TARGET, Evidence
from equivcheck.records.records_file import read_evidence
from tests.engines.suite import make_suite

SUITE = make_suite()
ANSWERS = 10 + 10 + 7 + 3 + 3


@pytest.fixture
def settings(setup: EngineSetup) -> Settings:
    return Settings(setup=setup, candidate="native:gamma=3")


class Wrapped:
    """A real engine that something goes wrong with."""

    def __init__(self, engine: Engine, *, fails: str = "", told: dict[str, Any] | None = None):
        self.engine, self.fails, self.told = engine, fails, told or {}
        self.closed = 0

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(self.engine.capabilities, **self.told)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        if any(request.key == self.fails for request in requests):
            raise RuntimeError("device lost")
        return self.engine.generate(requests)

    def close(self) -> None:
        self.closed += 1
        self.engine.close()


@pytest.fixture
def wrap(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Wrapped]]:
    """Wraps every engine opened from here on whose specification is the given one."""

    def wrapping(spec: str, **how: Any) -> list[Wrapped]:
        opened: list[Wrapped] = []

        def load(wanted: str, setup: EngineSetup, *, opening: Opening) -> Engine:
            engine = load_engine(wanted, setup, opening=opening)
            if wanted != spec:
                return engine
            opened.append(Wrapped(engine, **how))
            return opened[-1]

        monkeypatch.setattr(opening_arms, "load_engine", load)
        return opened

    return wrapping


def counts(evidence: Evidence) -> dict[str, int]:
    return {arm: len(answers) for arm, answers in evidence.captured.items()}


def test_a_run_is_captured_scored_judged_and_reported(settings: Settings, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    folder = tmp_path / "first"
    verdict = run(settings, [SUITE], folder, progress=lambda *step: told.append(step))
    evidence = read_evidence(folder)
    assert counts(evidence) == {TARGET: 10, CANDIDATE: 10, CONTROL: 7, SHUFFLED: 3, REPEAT: 3}
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert evidence.sealed == verdict.sealed()
    assert evidence.header.run == "first"
    assert {(each.key, each.arm) for each in evidence.rescored} == {
        (key, arm) for key in ("mixed/c0", "mixed/c8") for arm in (TARGET, CANDIDATE)
    }
    assert (folder / "report.txt").read_text(encoding="utf-8").startswith("EQUIVALENT")
    assert told[ANSWERS - 1] == ("generating", ANSWERS, ANSWERS)
    assert told[-1] == ("scoring", len(told) - ANSWERS, len(told) - ANSWERS)


def test_cases_that_an_engine_says_it_refuses_are_asked_of_no_arm(
    settings: Settings, tmp_path: Path, wrap: Callable[..., list[Wrapped]]
) -> None:
    refuses = {"refuses": ("logit_bias",), "ranges": {"temperature": (0.0, 0.9)}}
    wrap(settings.candidate, told=refuses)
    verdict = run(settings, [SUITE], tmp_path / "first")
    evidence = read_evidence(tmp_path / "first")
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert verdict.headline.endswith(
        "on 8 of 10 cases; 2 need temperature=1 or logit_bias, which native refuses"
    )
    assert {each.key: each.needs for each in evidence.header.left_out} == {
        "mixed/c4": ("temperature=1",),
        "mixed/c5": ("logit_bias",),
    }
    assert counts(evidence) == {TARGET: 8, CANDIDATE: 8, CONTROL: 6, SHUFFLED: 2, REPEAT: 2}
    (left_out,) = (each for each in verdict.findings if each.reason is Reason.LEFT_OUT)
    assert left_out.details == (
        "temperature=1 (native): mixed/c4",
        "logit_bias (native): mixed/c5",
    )
    report = (tmp_path / "first" / "report.txt").read_text(encoding="utf-8")
    assert "on 8 of 10 cases" in " ".join(report.split())
    assert capture(settings, [SUITE], tmp_path / "first", resume=True)


def test_where_every_case_is_refused_nothing_is_run(
    settings: Settings, tmp_path: Path, wrap: Callable[..., list[Wrapped]]
) -> None:
    engines = wrap(settings.candidate, told={"refuses": ("stop",)})
    with pytest.raises(SettingsError, match=r"no case is left: each of 1 needs .*/c0 needs stop"):
        run(settings, [make_suite(count=1)], tmp_path / "first")
    assert not (tmp_path / "first" / "records.jsonl").exists()
    assert [each.closed for each in engines] == [1]


def test_a_run_is_never_overwritten(settings: Settings, tmp_path: Path) -> None:
    one = make_suite(count=1, tokens=2)
    capture(settings, [one], tmp_path)
    with pytest.raises(RecordsError, match="already exists"):
        capture(settings, [one], tmp_path)


def test_another_run_is_not_gone_on_with(settings: Settings, tmp_path: Path) -> None:
    one = make_suite(count=1, tokens=2)
    capture(settings, [one], tmp_path)
    other = msgspec.structs.replace(settings, candidate="native:gamma=2")
    with pytest.raises(RecordsError, match=r"belongs to another run: settings\.candidate"):
        capture(other, [one], tmp_path, resume=True)


def test_one_failing_case_costs_nothing_else(
    settings: Settings, tmp_path: Path, wrap: Callable[..., list[Wrapped]]
) -> None:
    wrap(settings.candidate, fails="mixed/c3")
    verdict = run(settings, [SUITE], tmp_path)
    assert counts(read_evidence(tmp_path))[CANDIDATE] == 9
    assert verdict.outcome is Outcome.INCONCLUSIVE
    (missing,) = (each for each in verdict.findings if each.reason is Reason.MISSING)
    assert missing.headline == "candidate answered 9 of 10 cases"
    assert "mixed/c3: RuntimeError: device lost" in missing.details


def test_a_failed_case_is_asked_again_when_the_run_is_resumed(
    settings: Settings, tmp_path: Path, wrap: Callable[..., list[Wrapped]]
) -> None:
    (opened := wrap(settings.candidate, fails="mixed/c3"))
    capture(settings, [SUITE], tmp_path)
    wrap(settings.candidate)
    capture(settings, [SUITE], tmp_path, resume=True)
    assert counts(read_evidence(tmp_path))[CANDIDATE] == 10
    assert [engine.closed for engine in opened] == [1, 1]


def test_a_resumed_run_asks_the_prompts_that_are_stored(
    settings: Settings,
    tmp_path: Path,
    wrap: Callable[..., list[Wrapped]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a chat template writes the time of day into every prompt."""
    clock = iter(range(20, 300))
    monkeypatch.setattr(
        "equivcheck.pairs.prompts.encode", lambda tokenizer, case: [*range(30, 60), next(clock)]
    )
    wrap(settings.candidate, fails="mixed/c3")
    capture(settings, [SUITE], tmp_path)
    before = read_evidence(tmp_path)
    wrap(settings.candidate)
    verdict = run(settings, [SUITE], tmp_path, resume=True)
    assert read_evidence(tmp_path).asked == before.asked
    assert verdict.outcome is Outcome.PASS, verdict.headline


def test_a_candidate_that_answers_nothing_is_an_error(
    settings: Settings, tmp_path: Path, wrap: Callable[..., list[Wrapped]]
) -> None:
    """What it refuses without having said so is a failed answer."""
    greedy_only = msgspec.structs.replace(settings, candidate="native:gamma=3,rule=greedy")
    sampled = msgspec.structs.replace(SUITE, cases=(SUITE.cases[2],), lines=(4,))
    with pytest.raises(SettingsError, match="c2 needs temperature, which native refuses"):
        capture(greedy_only, [sampled], tmp_path)
    wrap(greedy_only.candidate, told={"sampled": True})
    with pytest.raises(EngineError, match=r"candidate \(native:.*\) answered none of 1 cases; of"):
        capture(greedy_only, [sampled], tmp_path)


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
import msgspec
from equivcheck.pipeline.run import run
from equivcheck.core.settings import Settings
from tests.engines.suite import make_suite

stage, after, folder, settings = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

def progress(doing, done, total):
    if (doing, done) == (stage, after):
        os.kill(os.getpid(), signal.SIGKILL)

run(msgspec.json.decode(settings, type=Settings), [make_suite()], Path(folder), progress=progress)
"""


@pytest.mark.parametrize(
    ("stage", "after"), [("generating", 5), ("generating", ANSWERS - 1), ("scoring", 2)]
)
def test_a_killed_run_is_gone_on_with(
    stage: str, after: int, settings: Settings, tmp_path: Path
) -> None:
    arguments = [stage, str(after), str(tmp_path), msgspec.json.encode(settings).decode()]
    command = [sys.executable, "-c", INTERRUPTED, *arguments]
    killed = subprocess.run(command, capture_output=True, check=False, cwd=Path.cwd())
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    before = read_evidence(tmp_path)
    assert before.sealed is None
    told: list[tuple[str, int, int]] = []
    verdict = run(
        settings, [SUITE], tmp_path, resume=True, progress=lambda *step: told.append(step)
    )
    after_all = read_evidence(tmp_path)
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert sum(counts(after_all).values()) == ANSWERS
    asked_anew = [step for step in told if step[0] == "generating"]
    assert len(asked_anew) == ANSWERS - sum(counts(before).values())
    assert after_all.rescored[: len(before.rescored)] == before.rescored
    assert len({(each.key, each.arm) for each in after_all.rescored}) == len(after_all.rescored)


def test_two_library_modes_are_compared_without_a_contract(
    settings: Settings, tmp_path: Path
) -> None:
    library = msgspec.structs.replace(
        settings,
        target="transformers:mode=plain",
        candidate="transformers:mode=lookup,gamma=3",
        control=None,
    )
    greedy = tuple(case for case in SUITE.cases if case.sampling.greedy)
    suite = msgspec.structs.replace(SUITE, cases=greedy, lines=tuple(range(2, len(greedy) + 2)))
    verdict = run(library, [suite], tmp_path)
    held = [finding for finding in verdict.findings if finding.check == "greedy"]
    assert {finding.reason for finding in held} == {Reason.IDENTICAL}


def test_a_seeded_fault_fails_and_is_arbitrated(settings: Settings, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(settings, candidate="native:gamma=3,fault=row-off-by-one")
    verdict = run(broken, [SUITE], tmp_path)
    assert verdict.outcome is Outcome.FAIL
    assert read_evidence(tmp_path).arbitrations


def test_what_is_too_long_is_said_before_an_engine_opens(
    settings: Settings, tmp_path: Path, wrap: Callable[..., list[Wrapped]]
) -> None:
    opened = wrap(settings.target)
    short = msgspec.structs.replace(settings.setup, context=64)
    long = msgspec.structs.replace(SUITE.cases[0], max_new_tokens=400)
    suite = msgspec.structs.replace(SUITE, cases=(SUITE.cases[1], long), lines=(2, 3))
    with pytest.raises(SettingsError, match=r"^1 of 2 cases needs more than the context of 64 .*"):
        capture(msgspec.structs.replace(settings, setup=short), [suite], tmp_path)
    # The models of the pair were made for 512.
    far = msgspec.structs.replace(settings.setup, context=4096)
    long = msgspec.structs.replace(SUITE.cases[0], max_new_tokens=600)
    suite = msgspec.structs.replace(SUITE, cases=(SUITE.cases[1], long), lines=(2, 3))
    with pytest.raises(SettingsError, match=r"^1 of 2 cases needs more than the 512 positions .*"):
        capture(msgspec.structs.replace(settings, setup=far), [suite], tmp_path)
    wild = msgspec.structs.replace(SUITE.cases[0], stop_token_ids=(10**6,))
    suite = msgspec.structs.replace(SUITE, cases=(wild,), lines=(2,))
    with pytest.raises(SuiteError, match=r"^suites/mixed\.jsonl:2: token id 1000000 is outside"):
        capture(settings, [suite], tmp_path)
    assert opened == []
    assert list(tmp_path.iterdir()) == []
