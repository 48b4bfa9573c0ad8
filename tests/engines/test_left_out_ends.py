"""An engine that leaves out the id that ends a text is compared like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import OpenEngine, lent, load_engine
from equivcheck.pipeline.run import run
from equivcheck.records.records_file import read_evidence
from tests.small_models import save_pair
from tests.unit.make import suite_of

EOS = 0


class EndsBefore:
    """The native engine without the last token of texts that end; too soon if it is broken."""

    def __init__(self, setup: EngineSetup, *, early: int) -> None:
        self.engine, self.early = load_engine("native:gamma=3", setup), early

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(self.engine.capabilities, ends_with_eos=False)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for answer in self.engine.generate(requests):
            if answer.finish_reason == "eos":
                *steps, last = answer.steps
                last = msgspec.structs.replace(last, emitted=last.emitted - 1)
                tokens = answer.token_ids[: -1 - self.early]
                answer = msgspec.structs.replace(answer, token_ids=tokens, steps=(*steps, last))
            yield answer

    def close(self) -> None:
        self.engine.close()


def suite() -> Suite:
    """Texts that end, after some tokens and at once."""
    cases = tuple(
        Case(
            id=f"c{index}",
            prompt="the cat sat on the mat " * (1 + index % 3),
            max_new_tokens=12,
            sampling=Sampling(logit_bias={EOS: 200.0 * (index < 6)}, min_new_tokens=index),
        )
        for index in range(9)
    )
    return suite_of(cases, workload="ends")


def opener(early: int) -> OpenEngine:
    def open_engine(options: Mapping[str, str], setup: EngineSetup) -> EndsBefore:
        return EndsBefore(setup, early=early)

    return open_engine


@pytest.mark.parametrize(
    ("early", "outcome"), [(0, Outcome.PASS), (1, Outcome.FAIL)], ids=["sound", "one-too-soon"]
)
def test_the_end_is_compared_too(
    early: int, outcome: Outcome, setup: EngineSetup, tmp_path: Path
) -> None:
    settings = Settings(setup=setup, candidate="ends-before", sampled=None)
    with lent({"ends-before": opener(early)}):
        verdict = run(settings, [suite()], tmp_path / "run")
    assert verdict.outcome is outcome, verdict.headline
    failed = {each.reason for each in verdict.findings if each.outcome is Outcome.FAIL}
    assert (Reason.DIVERGED in failed) == bool(early)
    captured = read_evidence(tmp_path / "run").captured
    texts = {arm: captured[arm]["ends/c3"].generation.token_ids for arm in ("target", "candidate")}
    assert texts["candidate"][-1] == EOS
    assert (texts["candidate"] == texts["target"]) == (not early)


def test_of_several_ends_nobody_can_say_which_it_was(tmp_path: Path) -> None:
    pair = save_pair(tmp_path)
    path = tmp_path / "target" / "generation_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) | {"eos_token_id": [0, 7]}
    path.write_text(json.dumps(told), encoding="utf-8")
    setup = EngineSetup(pair=pair, device="cpu", threads=1, batch_size=2, context=64)
    opened = EndsBefore(setup, early=0)
    with (
        lent({"ends-before": lambda options, setup: opened}),
        pytest.raises(SettingsError, match=r"leaves out the id that ends a text.*2 of them \(0, 7"),
    ):
        load_engine("ends-before", setup)
