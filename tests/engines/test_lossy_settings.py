"""transformers' lossy setting, for real: how far it is off is measured, and nobody is accused."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Outcome
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import load_engine
from equivcheck.pipeline.run import run
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.engines.suite import sampling_suite

SMALL = Profile(tokens=500, required=(Required("leak", 1.0),))
TEXTS = ("import os\nimport sys\n\ndef main():\n", '{"a": 1}\n{"a"', "def f(")
SETUP = EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=1, context=128)


def test_it_is_measured_and_not_accused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "quick", SMALL)
    settings = Settings(
        setup=SETUP,
        target="transformers",
        candidate="transformers:mode=assisted,assistant_ensemble_weight=0.2",
        control=None,
        sampled_batch=4,
        profile="quick",
    )
    verdict = run(settings, [sampling_suite(TEXTS, heats=(0.0, 1.0))], tmp_path / "run")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.headline.startswith(
        "LOSSY BY SETTING — lossy by setting assistant_ensemble_weight=0.2: "
    )
    found = verdict.findings[0]
    assert found.interval is not None
    assert found.estimate is not None
    # The whole budget, though the distribution would be refuted long before.
    assert found.n >= SMALL.tokens
    assert 0.0 < found.interval.low < found.estimate < found.interval.high
    assert "of 3 prompts identical, and" in found.details[0]
    assert not [each for each in verdict.findings if each.outcome is Outcome.FAIL]


def test_it_is_part_of_the_engines_name() -> None:
    spec = "transformers:mode=early-exit,gamma=2,assistant_ensemble_weight=0.5"
    told = load_engine(spec, SETUP).capabilities
    assert told.engine == spec
    assert load_engine(told.engine, SETUP).capabilities == told


@pytest.mark.parametrize("mode", ["plain", "lookup"])
def test_it_has_no_meaning_without_a_draft_distribution(mode: str) -> None:
    with pytest.raises(SettingsError, match=f"has no meaning in mode={mode}"):
        load_engine(f"transformers:mode={mode},assistant_ensemble_weight=0.5", SETUP)


def test_pytest_passes_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".jsonl",
        code='{"equivcheck": 1, "workload": "code"}\n'
        '{"id": "one", "prompt": "def f(", "max_new_tokens": 8}\n',
    )
    pytester.makefile(
        ".toml",
        equivcheck='target = "transformers"\ncontrol = "none"\n'
        'candidate = "transformers:mode=assisted,assistant_ensemble_weight=0.5"\n'
        '[setup]\npair = "tiny"\ndevice = "cpu"\nthreads = 1\n',
    )
    result = pytester.runpytest_subprocess("code.jsonl::one", "code.jsonl::greedy")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*lossy by setting assistant_ensemble_weight=0.5: neither*"])
    result.assert_outcomes(failed=2)
