"""Power: every fault of the catalogue is caught by the check that is meant to catch it.

Real runs of the bundled pair: captured, scored and judged as a user's would be.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from equivcheck.acceptance import acceptance_of
from equivcheck.capture import run
from equivcheck.cases import Case, Sampling, Suite
from equivcheck.errors import SettingsError
from equivcheck.faults.catalogue import CATALOGUE, find
from equivcheck.faults.fault import Fault
from equivcheck.findings import Outcome
from equivcheck.records import CANDIDATE, Evidence
from equivcheck.records_file import read_evidence
from equivcheck.settings import EngineSetup, Settings
from equivcheck.verdict import Verdict

PROMPTS = (
    "SELECT name, COUNT(*) FROM customers AS c JOIN orders AS o ON",
    "<|user|>\nHello?\n<|assistant|>\n",
    "The king looked out upon the sea, and the sea, and the sea",
    '{\n  "name": "Ada",\n  "name": "Ada",\n  "name":',
)
LAWS = {
    "greedy": Sampling(),
    "penalised": Sampling(repetition_penalty=1.3, frequency_penalty=1.5),
    "sampled": Sampling(temperature=0.9),
}


def suite() -> Suite:
    """Every prompt under every law; every third ends at a frequent letter."""
    cases = tuple(
        Case(
            id=f"{law}-{index}",
            prompt=prompt,
            max_new_tokens=24 + index,
            sampling=sampling,
            stop=("e",) if index % 3 == 2 else (),
        )
        for index, prompt in enumerate(PROMPTS)
        for law, sampling in LAWS.items()
    )
    return Suite(
        path="faults.jsonl",
        workload="faults",
        description="",
        cases=cases,
        lines=tuple(range(2, len(cases) + 2)),
        digest="0",
    )


@functools.cache
def judged(fault: str | None, folder: Path) -> tuple[Verdict, Evidence]:
    """The verdict on a decoder with one fault, or with none."""
    name = fault or "sound"
    settings = Settings(
        setup=EngineSetup(batch_size=4, context=256),
        candidate=f"native:gamma=4,fault={fault}" if fault else "native:gamma=4",
        control=None,
        probe_every=3,
        rescore_every=2,
    )
    verdict = run(settings, [suite()], folder / name)
    return verdict, read_evidence(folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


def failing(verdict: Verdict, outcome: Outcome = Outcome.FAIL) -> set[str]:
    return {finding.check for finding in verdict.findings if finding.outcome is outcome}


BREAKING = [
    find(name)
    for name in ("skip-first-check", "row-off-by-one", "no-trim", "logprob-zero", "counts-leak")
]


def test_the_sound_decoder_passes(folder: Path) -> None:
    verdict, _ = judged(None, folder)
    assert verdict.outcome is Outcome.PASS, verdict.headline


@pytest.mark.parametrize("fault", BREAKING, ids=lambda fault: fault.id)
def test_a_fault_is_caught_by_its_check(fault: Fault, folder: Path) -> None:
    verdict, _ = judged(fault.id, folder)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.headline.startswith("NOT EQUIVALENT")
    assert fault.caught_by in failing(verdict)


def test_a_blank_draft_cache_is_lossless_but_accepted_less(folder: Path) -> None:
    verdict, evidence = judged("stale-draft-cache", folder)
    assert verdict.outcome is Outcome.PASS, verdict.headline
    _, sound = judged(None, folder)
    degraded, healthy = (
        acceptance_of([one.generation for one in each.captured[CANDIDATE].values()])
        for each in (evidence, sound)
    )
    assert degraded.rate is not None
    assert healthy.rate is not None
    assert degraded.rate < healthy.rate


def test_a_decoder_that_never_drafts_is_inconclusive(folder: Path) -> None:
    verdict, _ = judged("never-drafts", folder)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert failing(verdict, Outcome.INCONCLUSIVE) == {"engaged"}


def test_an_unknown_fault_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="did you mean 'skip-first-check'"):
        find("skip-first-chek")


def test_every_fault_names_what_it_recreates() -> None:
    assert len({fault.id for fault in CATALOGUE}) == len(CATALOGUE)
    assert all("#" in fault.recreates and fault.summary for fault in CATALOGUE)
