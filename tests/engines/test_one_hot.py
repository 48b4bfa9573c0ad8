"""Whole runs of an engine whose drafts are certain, on the bundled pair, with no draft model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import lent, load_engine
from equivcheck.pipeline.run import run
from equivcheck.records.records_file import read_evidence
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.engines.suite import sampling_suite

SMALL = Profile(tokens=2_000, required=(Required("leak", 0.2),))
TEXTS = ("a = 1\nb = 2\na = 1\n", "the cat sat on the mat. the cat sat", '{"a": 1, "b": 2, "a":')


class OneHot:
    """Copies drafts from the text, names them all, and says nothing else of them."""

    def __init__(self, setup: EngineSetup, *, fault: str | None) -> None:
        spec = "native:gamma=3,drafter=lookup,rule=rejection"
        self.engine = load_engine(f"{spec},fault={fault}" if fault else spec, setup)

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(
            self.engine.capabilities,
            engine="one-hot",
            drafter="one-hot",
            reports_rejected=False,
            identity=None,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for answer in self.engine.generate(requests):
            steps = tuple(msgspec.structs.replace(step, rejected=None) for step in answer.steps)
            yield msgspec.structs.replace(answer, steps=steps)

    def close(self) -> None:
        self.engine.close()


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> Engine:
    return OneHot(setup, fault=options.get("fault"))


def judged(folder: Path, candidate: str, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    monkeypatch.setitem(PROFILES, "quick", SMALL)
    setup = EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=4, context=128)
    settings = Settings(
        setup=setup, candidate=candidate, control=None, sampled_batch=16, profile="quick"
    )
    with lent({"one-hot": open_engine}):
        return run(settings, [sampling_suite(TEXTS, heats=(0.0, 0.7))], folder)


def test_every_stage_of_a_sound_one_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judged(tmp_path / "sound", "one-hot", monkeypatch)
    distribution = next(each for each in verdict.findings if each.check == "sampled")
    assert (distribution.outcome, distribution.reason) == (
        Outcome.PASS,
        Reason.DISTRIBUTION_HELD,
    ), distribution.headline
    told = "\n".join(distribution.details)
    assert "of the stages: draft 10^0.0, accept 10^" in told
    assert "draft distribution: one-hot" in told
    preflight = read_evidence(tmp_path / "sound").preflight
    assert preflight is not None
    # Measured on the engine's own drafts, as nobody else knows them.
    assert preflight.draft_distance > 0.05


@pytest.mark.parametrize("fault", ["accepts-every-draft", "recovers-from-target"])
def test_a_broken_rule_is_refuted(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judged(tmp_path / fault, f"one-hot:fault={fault}", monkeypatch)
    assert verdict.outcome is Outcome.FAIL, verdict.headline
    failed = {each.check for each in verdict.findings if each.outcome is Outcome.FAIL}
    assert "sampled" in failed
    assert "counters" not in failed
