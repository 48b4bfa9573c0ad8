"""Whole runs that test a distribution on a random pair: complete, killed, refuted, resumed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from equivcheck.capture import arms as opening_arms
from equivcheck.checks.verdict import Verdict
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import OtherRunError, RecordsError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine
from equivcheck.pipeline.draw_more import finished_run, tokens_drawn
from equivcheck.pipeline.rejudge import rejudge
from equivcheck.pipeline.run import run
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.sample_keys import parse_draw
from equivcheck.records.score_table_file import SCORES_NAME
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.engines.drawing import BUDGET, DRAWN, SMALL, drawn_suite

SUITES = [drawn_suite()]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "default", SMALL)


@pytest.fixture
def settings(setup: EngineSetup) -> Settings:
    return Settings(setup=setup, candidate="native:gamma=3", control=None, sampled_batch=8)


@pytest.fixture(scope="module")
def finished(setup: EngineSetup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that passed; not to be changed."""
    folder = tmp_path_factory.mktemp("law") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "default", SMALL)
        settings = Settings(setup=setup, candidate="native:gamma=3", control=None, sampled_batch=8)
        run(settings, SUITES, folder)
    return folder


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for name in (RECORDS_NAME, SCORES_NAME):
        (to / name).write_bytes((folder / name).read_bytes())
    return to


def distribution(verdict: Verdict) -> Finding:
    return next(found for found in verdict.findings if found.check == "sampled")


def whole_rounds(evidence: Evidence) -> bool:
    rounds = [parse_draw(key) for key in evidence.draws[SAMPLED]]
    return [draw.case for draw in rounds] == list(DRAWN) * (len(rounds) // len(DRAWN))


def test_the_distribution_of_a_sound_decoder_holds(finished: Path) -> None:
    evidence, verdict = rejudge(finished / RECORDS_NAME)
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert distribution(verdict).reason is Reason.DISTRIBUTION_HELD
    header = evidence.header
    assert header.planned[SAMPLED] == DRAWN
    assert header.arms[SAMPLED].engine == "native:gamma=3,rule=rejection"
    assert header.arms[SAMPLED].batch_size == 8
    assert header.draw_seed == header.settings.seed
    assert SAMPLED not in evidence.captured
    assert whole_rounds(evidence)
    assert BUDGET <= tokens_drawn(evidence) < 1.2 * BUDGET
    assert evidence.scores is not None
    assert evidence.scores.rows == tokens_drawn(evidence)


def test_judging_again_needs_no_model_and_gives_the_same_bytes(
    finished: Path, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path / "again")
    before = (folder / RECORDS_NAME).read_bytes()
    code = (
        "import sys; from pathlib import Path; from equivcheck.pipeline.rejudge import rejudge\n"
        "from tests.engines.drawing import make_profiles_small; make_profiles_small()\n"
        f"rejudge(Path({str(folder / RECORDS_NAME)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (folder / RECORDS_NAME).read_bytes() == before


def test_the_same_run_again_has_the_same_digest_of_its_evidence(
    settings: Settings, finished: Path, tmp_path: Path
) -> None:
    run(settings, SUITES, tmp_path)
    one, other = read_evidence(finished), read_evidence(tmp_path)
    assert evidence_digest(one) == evidence_digest(other)
    fewer = dict(list(other.draws[SAMPLED].items())[:-1])
    changed = msgspec.structs.replace(other, draws={SAMPLED: fewer})
    assert evidence_digest(changed) != evidence_digest(other)


def test_without_its_scores_a_run_is_no_pass(finished: Path, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path / "bare")
    (folder / SCORES_NAME).unlink()
    _, verdict = rejudge(folder / RECORDS_NAME)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert distribution(verdict).reason is Reason.NOT_SAMPLED


def test_a_seed_that_is_fresh_is_kept_when_the_run_is_gone_on_with(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROFILES, "release", SMALL)
    release = msgspec.structs.replace(settings, profile="release", sampled_tokens=100)
    monkeypatch.setitem(PROFILES, "release", Profile(tokens=100, required=()))
    seeds = []
    for name in ("one", "other"):
        run(release, SUITES, tmp_path / name)
        before = read_evidence(tmp_path / name)
        seeds.append(before.header.draw_seed)
        run(release, SUITES, tmp_path / name, resume=True, more=True)
        after = read_evidence(tmp_path / name)
        assert after.header == before.header
        known = len(before.draws[SAMPLED])
        assert list(after.draws[SAMPLED].items())[:known] == list(before.draws[SAMPLED].items())
        assert len(after.draws[SAMPLED]) > known
    assert seeds[0] != seeds[1]


KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
from equivcheck.pipeline.run import run
from equivcheck.core.settings import Settings
from tests.engines.drawing import drawn_suite, make_profiles_small

stage, after, folder, settings = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
make_profiles_small()

def progress(doing, done, total):
    if doing == stage and done >= after:
        os.kill(os.getpid(), signal.SIGKILL)

run(msgspec.json.decode(settings, type=Settings), [drawn_suite()], Path(folder), progress=progress)
"""


@pytest.mark.parametrize(("stage", "after"), [("drawing", 400), ("scoring draws", 300)])
def test_a_killed_run_scores_what_was_drawn_and_goes_on(
    stage: str, after: int, settings: Settings, finished: Path, tmp_path: Path
) -> None:
    arguments = [stage, str(after), str(tmp_path), msgspec.json.encode(settings).decode()]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    before = read_evidence(tmp_path)
    assert before.sealed is None
    assert before.scores is not None
    assert tokens_drawn(before) > before.scores.rows
    verdict = run(settings, SUITES, tmp_path, resume=True)
    evidence, other = read_evidence(tmp_path), read_evidence(finished)
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert whole_rounds(evidence)
    assert all(evidence.draws[SAMPLED][key] == draw for key, draw in before.draws[SAMPLED].items())
    shared = min(len(evidence.draws[SAMPLED]), len(other.draws[SAMPLED]))
    ours, theirs = (list(each.draws[SAMPLED].values())[:shared] for each in (evidence, other))
    assert ours == theirs


def test_more_can_be_drawn_for_a_finished_run(
    settings: Settings, finished: Path, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path / "more")
    before = finished_run(folder, settings, SUITES)
    verdict = run(settings, SUITES, folder, resume=True, more=True)
    after = read_evidence(folder)
    assert verdict.outcome is Outcome.PASS
    assert distribution(verdict).n == tokens_drawn(after) >= 2 * BUDGET
    assert whole_rounds(after)
    assert after.scores is not None
    assert before.scores is not None
    assert after.scores.keys[: len(before.scores.keys)] == before.scores.keys


def test_a_blatant_fault_ends_the_drawing_early(settings: Settings, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(
        settings, candidate="native:gamma=4,rule=rejection,fault=skip-first-check"
    )
    verdict = run(broken, SUITES, tmp_path)
    found = distribution(verdict)
    assert (verdict.outcome, found.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert tokens_drawn(read_evidence(tmp_path)) < BUDGET / 2
    with pytest.raises(RecordsError, match="the distribution is refuted"):
        finished_run(tmp_path, broken, SUITES)


@pytest.mark.parametrize("fault", [None, "stop-strings-ignored"])
def test_draws_are_held_to_stop_strings(
    fault: str | None, settings: Settings, tmp_path: Path
) -> None:
    (suite,) = SUITES
    cases = tuple(
        msgspec.structs.replace(case, stop=("e",)) if not case.sampling.greedy else case
        for case in suite.cases
    )
    seeded = f",fault={fault}" if fault else ""
    stopping = msgspec.structs.replace(
        settings, candidate=f"native:gamma=3,rule=rejection{seeded}", sampled_tokens=200
    )
    run(stopping, [msgspec.structs.replace(suite, cases=cases)], tmp_path)
    evidence, verdict = rejudge(tmp_path / RECORDS_NAME)
    found = [each for each in verdict.findings if each.check == "stopping"]
    of_draws = [each for each in found if each.headline.startswith("sampled: ")]
    assert bool(of_draws) == bool(fault)
    assert all("after a stop string" in each.headline for each in of_draws)
    answers = sum(len(of_arm) for of_arm in evidence.captured.values())
    assert found[-1].n == answers + len(evidence.draws[SAMPLED])
    assert any(place is not None for place in evidence.stops_of_draws[SAMPLED].values())


def test_a_budget_that_can_show_nothing_is_not_spent(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demanding = Profile(tokens=BUDGET, required=(Required("leak", 0.01),))
    monkeypatch.setitem(PROFILES, "default", demanding)
    verdict = run(settings, SUITES, tmp_path)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert distribution(verdict).reason is Reason.UNDERPOWERED
    assert read_evidence(tmp_path).draws == {}
    with pytest.raises(RecordsError, match="nothing was drawn"):
        finished_run(tmp_path, settings, SUITES)


def test_other_and_unfinished_runs_are_not_drawn_on(
    settings: Settings, finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecordsError, match="no run is there"):
        finished_run(tmp_path, settings, SUITES)
    other = msgspec.structs.replace(settings, profile="quick")
    with pytest.raises(OtherRunError, match=r"settings\.profile is 'default' there"):
        finished_run(finished, other, SUITES)
    folder = copied(finished, tmp_path / "open")
    lines = (folder / RECORDS_NAME).read_bytes().splitlines(keepends=True)
    (folder / RECORDS_NAME).write_bytes(b"".join(lines[:-1]))
    with pytest.raises(RecordsError, match="the run is unfinished"):
        finished_run(folder, settings, SUITES)


class Fragile:
    """A real engine that breaks on some draws."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        if any(request.key == "law/c1#7" for request in requests):
            raise RuntimeError("device lost")
        return self.engine.generate(requests)

    def close(self) -> None:
        self.engine.close()


def test_a_draw_that_failed_is_never_a_pass(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(spec: str, setup: EngineSetup, *, opening: Opening) -> Engine:
        return Fragile(load_engine(spec, setup, opening=opening))

    monkeypatch.setattr(opening_arms, "load_engine", load)
    verdict = run(settings, SUITES, tmp_path)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    missing = next(found for found in verdict.findings if found.reason is Reason.MISSING)
    assert missing.headline.startswith("sampled failed on 1 of ")
    assert missing.details == ("law/c1#7: RuntimeError: device lost",)


def test_a_suite_that_does_not_ask_for_it_draws_nothing(settings: Settings, tmp_path: Path) -> None:
    plain = msgspec.structs.replace(drawn_suite(), distribution=False)
    run(settings, [plain], tmp_path)
    evidence = read_evidence(tmp_path)
    assert SAMPLED not in evidence.header.arms
    assert evidence.preflight is None
    assert not evidence.draws


def test_both_arms_draw_where_tokens_are_the_evidence(settings: Settings, tmp_path: Path) -> None:
    tokens = msgspec.structs.replace(settings, law_evidence="tokens", sampled_tokens=300)
    run(tokens, SUITES, tmp_path)
    evidence = read_evidence(tmp_path)
    ours, theirs = evidence.draws.values()
    assert list(ours) == list(theirs)
    assert evidence.scores is None
    assert not (tmp_path / SCORES_NAME).exists()


def test_recorded_draws_are_tested_like_fresh_ones(
    settings: Settings, finished: Path, tmp_path: Path
) -> None:
    recorded = msgspec.structs.replace(settings, candidate=f"replay:file={finished}")
    verdict = run(recorded, SUITES, tmp_path)
    assert distribution(verdict).reason is Reason.DISTRIBUTION_HELD
    assert read_evidence(tmp_path).draws == read_evidence(finished).draws
