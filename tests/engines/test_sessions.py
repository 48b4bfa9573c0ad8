"""The suites that need time, on real engines: sound ones pass, faults of later turns are seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Case, Suite
from equivcheck.core.findings import Outcome
from equivcheck.core.load_suites import load_suites, select
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.run import run
from equivcheck.records.divergence import join
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.records.records_file import read_evidence
from tests.engines.native_server import NativeVllm
from tests.unit.engines.http.stub import serving
from tests.unit.source import ROOT

SETUP = EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=4, context=1024)
TIMED = load_suites(ROOT / "suites" / f"{name}.jsonl" for name in ("sessions", "shared_prefix"))
FEW = select(TIMED, ["sessions/tides.3", "sessions/letter.3", "sessions/ledger.3"])
BRIEF = Settings(
    setup=SETUP, control=None, sampled=None, probe_every=1000, rescore_every=1000, baseline=None
)
FAULT = "turn-drops-history"


def judged(
    folder: Path, target: str, candidate: str, suites: Sequence[Suite]
) -> tuple[Verdict, Evidence]:
    settings = msgspec.structs.replace(BRIEF, target=target, candidate=candidate)
    return run(settings, suites, folder), read_evidence(folder)


def failed(verdict: Verdict) -> set[tuple[str, str]]:
    """Check and case."""
    return {
        (each.check, each.subject)
        for each in verdict.findings
        if each.outcome is Outcome.FAIL and "/" in each.subject
    }


def accused(verdict: Verdict) -> set[str]:
    """Cases on which tokens or logits differ: never the first turn of a session."""
    cases = {key for check, key in failed(verdict) if check == "greedy"}
    assert not any(key.endswith(".1") for key in cases)
    return cases


def compared(verdict: Verdict) -> dict[str, tuple[Outcome, int]]:
    """Workload to how many later turns were compared."""
    found = (each for each in verdict.findings if each.check == "sessions")
    return {each.subject: (each.outcome, each.n) for each in found}


def apart(evidence: Evidence) -> Suite:
    """The same prompts as cases of their own: no prompt hangs on an answer any more."""
    # An engine warms up on the shortest case, which must not be the first turn of another.
    shortest = Case(id="shortest", prompt="x", max_new_tokens=1)
    cases = (
        shortest,
        *(
            Case(
                id=key.partition("/")[2],
                token_ids=asked.request.prompt_ids,
                max_new_tokens=asked.request.max_new_tokens,
                ignore_eos=asked.request.ignore_eos,
            )
            # The longest first, so that none comes behind a beginning of itself.
            for key, asked in sorted(evidence.asked.items(), key=lambda item: -item[1].wave)
        ),
    )
    lines = tuple(range(2, 2 + len(cases)))
    return msgspec.structs.replace(FEW[0], cases=cases, lines=lines)


def test_the_shipped_suites_hold_and_bring_about_what_they_are_for(tmp_path: Path) -> None:
    agentic = load_suites([ROOT / "suites" / "agentic.jsonl"])
    settings = msgspec.structs.replace(
        BRIEF, require_events=("later-turn", "prefix-again", "shared-16", "shared-64")
    )
    verdict = run(settings, [*TIMED, *agentic], tmp_path / "run")
    assert verdict.outcome is Outcome.PASS
    assert compared(verdict) == {"sessions": (Outcome.PASS, 13), "agentic": (Outcome.PASS, 12)}
    evidence = read_evidence(tmp_path / "run")
    for suite in (TIMED[0], *agentic):
        for case in suite.cases:
            asked = evidence.asked[suite.key(case)]
            if asked.before and case.messages is None:
                before = evidence.captured[TARGET][asked.before[-1]]
                start = evidence.asked[asked.before[-1]].request.prompt_ids
                known = (*start, *before.generation.token_ids)
                assert asked.request.prompt_ids[: len(known)] == known
            elif asked.before:
                text = evidence.captured[CANDIDATE][asked.before[-1]].text
                assert text in decoded(asked.request.prompt_ids)


def decoded(ids: Sequence[int]) -> str:
    from equivcheck.pairs.load import load_tokenizer

    return str(load_tokenizer("tiny").decode(list(ids)))


def test_a_fault_of_later_turns_is_seen_in_sessions_alone(tmp_path: Path) -> None:
    faulty = f"native:gamma=4,fault={FAULT}"
    verdict, evidence = judged(tmp_path / "in-turns", "native:gamma=0", faulty, FEW)
    assert accused(verdict)
    parted = {pair.key for pair in join(evidence, arm=CANDIDATE) if pair.position is not None}
    # What follows the turn that differs had another history.
    behind = {key[:-1] + "3" for key in parted if key.endswith(".2")}
    assert behind
    assert set(evidence.other_history[CANDIDATE]) == behind
    sound = judged(tmp_path / "sound", "native:gamma=0", "native:gamma=4", FEW)
    assert sound[0].outcome is Outcome.PASS
    alone = judged(tmp_path / "apart", "native:gamma=0", faulty, [apart(sound[1])])
    assert alone[0].outcome is Outcome.PASS


@pytest.mark.parametrize("fault", ["", f",fault={FAULT}"], ids=["sound", "faulty"])
def test_by_url(tmp_path: Path, fault: str) -> None:
    with (
        serving(NativeVllm("native:gamma=0", SETUP)) as target,
        serving(NativeVllm(f"native:gamma=4{fault}", SETUP)) as candidate,
    ):
        urls = [f"{each.url},dtype=float32" for each in (target, candidate)]
        verdict, _ = judged(tmp_path / "run", urls[0], urls[1], FEW)
    if fault:
        assert accused(verdict)
    else:
        assert not failed(verdict)
        assert compared(verdict) == {"sessions": (Outcome.PASS, 6)}


def test_by_transformers(tmp_path: Path) -> None:
    assisted = "transformers:mode=assisted,gamma=4"
    verdict, _ = judged(tmp_path / "run", "transformers:mode=plain", assisted, FEW)
    assert not failed(verdict)
    assert compared(verdict) == {"sessions": (Outcome.PASS, 6)}
