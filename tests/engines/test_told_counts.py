"""An engine that tells totals a request, as servers do: a lossless one can be proved equivalent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from equivcheck.capture import arms
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine
from equivcheck.pipeline.run import run
from equivcheck.records.records_file import read_evidence
from tests.engines.suite import make_suite

CANDIDATE = "native:gamma=3"


class CountsOnly:
    """A native engine that sums its steps up, and keeps some of the sums to itself."""

    def __init__(self, engine: Engine, *, by_slot: bool, steps: bool) -> None:
        self.engine, self.by_slot, self.steps = engine, by_slot, steps

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(
            self.engine.capabilities,
            reports_steps=False,
            reports_rejected=False,
            reports_counts=True,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for answer in self.engine.generate(requests):
            counts = answer.totals
            assert counts is not None
            counts = msgspec.structs.replace(
                counts,
                steps=counts.steps if self.steps else None,
                accepted_by_slot=counts.accepted_by_slot if self.by_slot else (),
            )
            yield msgspec.structs.replace(answer, steps=(), counts=counts)

    def close(self) -> None:
        self.engine.close()


@pytest.mark.parametrize(("by_slot", "steps"), [(True, True), (False, False)])
def test_a_lossless_engine_that_only_counts_is_equivalent(
    by_slot: bool,
    steps: bool,
    setup: EngineSetup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(spec: str, wanted: EngineSetup, *, opening: Opening) -> Engine:
        engine = load_engine(spec, wanted, opening=opening)
        return CountsOnly(engine, by_slot=by_slot, steps=steps) if spec == CANDIDATE else engine

    monkeypatch.setattr(arms, "load_engine", load)
    settings = Settings(setup=setup, candidate=CANDIDATE, sampled=None)
    verdict = run(settings, [make_suite()], tmp_path / "counted")
    assert verdict.outcome is Outcome.PASS, verdict.headline
    engaged = next(each for each in verdict.findings if each.check == "engaged")
    assert "draft tokens accepted" in engaged.headline
    evidence = read_evidence(tmp_path / "counted")
    assert evidence.captured["candidate"]["mixed/c0"].generation.counts is not None
    page = (tmp_path / "counted" / "report.txt").read_text(encoding="utf-8")
    assert "speculation ran" in page
