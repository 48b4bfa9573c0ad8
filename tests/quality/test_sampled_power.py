"""Power of the test of the distribution: blatant faults of rejection sampling do not get past it.

On the tabular pair, through the real decode loop, and a few as whole runs of the bundled pair. What
every fault takes there is measured by ``benchmarks.power``.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from benchmarks.tabular import TabularPair
from benchmarks.tabular_distribution import scored
from equivcheck.core.cases import Case, Sampling
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.decoding.decoder import Decoder
from equivcheck.faults.catalogue import find
from equivcheck.pipeline.run import run
from equivcheck.statistics.battery import Battery, evaluate
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.unit.make import suite_of

PAIR = TabularPair.make(distance=0.3)
SAMPLINGS = {
    "plain": Sampling(temperature=1.0),
    "cold": Sampling(temperature=0.7),
    "nucleus": Sampling(temperature=0.8, top_p=0.9),
    "cut": Sampling(temperature=1.0, top_k=5),
    "floor": Sampling(temperature=1.2, min_p=0.1),
}


@functools.cache
def judged(fault: str | None, distribution: str, outputs: int) -> Battery:
    kind = find(fault).decoder if fault else Decoder
    asked = PAIR.drawn(kind, outputs=outputs, sampling=SAMPLINGS[distribution])
    return evaluate(scored(PAIR, asked), alpha=1e-4, alpha_pass=1e-3, stages=True)


@pytest.mark.parametrize("distribution", SAMPLINGS)
def test_a_sound_decoder_is_not_accused(distribution: str) -> None:
    found = judged(None, distribution, 128)
    assert not found.broken
    assert found.impossible.total == 0


BLATANT = {
    "accepts-every-draft": "plain",
    "coin-zero-or-one": "plain",
    "greedy-draft-soft-law": "plain",
    "law-of-slot-before": "plain",
    "nucleus-ignored": "nucleus",
    "nucleus-one-short": "nucleus",
    "raw-draft-law": "cut",
    "recovers-from-next-slot": "plain",
    "recovers-from-target": "plain",
    "residual-target-untempered": "cold",
    "stream-shared-rejection": "plain",
    "typical-acceptance-rejection": "plain",
}


@pytest.mark.parametrize("fault", BLATANT)
def test_a_blatant_fault_is_caught_at_once(fault: str) -> None:
    found = judged(fault, BLATANT[fault], 64)
    assert found.tokens == 4_096
    assert found.broken


SEEN_BY = {
    "bonus-from-draft": "bonus",
    "draft-shares-coin": "accept",
    "lenience": "accept",
    "one-coin-a-step": "accept",
    "recovery-shares-coin": "recovered",
    "recovery-shares-noise": "recovered",
}


@pytest.mark.parametrize("fault", SEEN_BY)
def test_the_broken_stage_is_named(fault: str) -> None:
    found = judged(fault, "plain", 256)
    assert found.failed_after is not None
    assert max(found.stages, key=lambda name: found.stages[name].highest) == SEEN_BY[fault]


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        ("greedy-draft-soft-law", set[str]()),
        ("recovers-from-target", {"recovered-impossible"}),
        ("law-of-slot-before", {"rejected-sure", "recovered-impossible"}),
    ],
)
def test_what_does_not_fit_the_draft_distribution_is_refuted_by_the_output(
    fault: str, events: set[str]
) -> None:
    found = judged(fault, "plain", 64)
    assert found.broken_alone
    assert found.void is not None
    assert set(found.void.events.counts) == events


@pytest.mark.parametrize("distribution", SAMPLINGS)
def test_of_a_sound_decoder_the_draft_distribution_stands(distribution: str) -> None:
    assert judged(None, distribution, 128).void is None


def test_noise_that_outputs_share_is_seen_side_by_side() -> None:
    found = judged("stream-shared-rejection", "plain", 64)
    assert max(found.parts, key=lambda name: found.parts[name].highest) == "crossing"


SMALL = Profile(tokens=1_200, required=(Required("leak", 1.0),))
"""What a few draws can tell."""
SUITE = suite_of(
    tuple(
        Case(
            id=f"case-{index}",
            prompt=prompt,
            max_new_tokens=32,
            ignore_eos=True,
            sampling=Sampling(temperature=1.0),
        )
        for index, prompt in enumerate(
            ("The king looked out upon", "SELECT name FROM", "def main(", "Dear Anna, I")
        )
    ),
    workload="law",
    digest="0",
    distribution=True,
)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("accepts-every-draft", Reason.DISTRIBUTION_BROKEN),
        ("recovers-from-target", Reason.DISTRIBUTION_BROKEN),
    ],
)
def test_a_whole_run_of_the_bundled_pair_says_so(
    fault: str, reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROFILES, "quick", SMALL)
    settings = Settings(
        setup=EngineSetup(batch_size=4, context=128, threads=1),
        candidate=find(fault).candidate,
        control=None,
        probe_every=4,
        rescore_every=4,
        profile="quick",
    )
    found = sampled(run(settings, [SUITE], tmp_path).findings)
    assert (found.outcome, found.reason) == (Outcome.FAIL, reason), found.headline


def sampled(findings: tuple[Finding, ...]) -> Finding:
    """What is said of the run's sampled distribution as a whole, which comes first."""
    return next(finding for finding in findings if finding.check == "sampled")
