"""Whether a judged run proves the candidate of a measurement equivalent. Pure."""

from __future__ import annotations

from collections.abc import Callable

from equivcheck.advise.policy import NO_PROOF, Proof
from equivcheck.checks.verdict import lossless
from equivcheck.metrics.records import Bench, BenchArm
from equivcheck.records.records import CANDIDATE, Evidence


def proofs_from(evidence: Evidence | None, bench: Bench) -> Callable[[str], Proof]:
    """What a run says about each candidate of a measurement, by the arm's name."""

    def proof_of(arm: str) -> Proof:
        return NO_PROOF if evidence is None else proof_from(evidence, bench, bench.arms[arm])

    return proof_of


def proof_from(evidence: Evidence, bench: Bench, arm: BenchArm) -> Proof:
    """What a run found about one candidate's answers, if it is about the same decoder.

    Limits that it missed, or a baseline that was not there, say nothing against equivalence.

    The engine as it describes itself, pair, dtype, device and the models' digests have to agree.
    The batch size may differ: a run's other width and company are part of what it judges.
    """
    header, run = evidence.header, evidence.header.run
    probe = next((each for each in bench.probed if each.arm == arm.name), None)
    if evidence.sealed is None:
        return Proof(state="none", why=f"run {run} is unfinished and has no verdict")
    judged, theirs = header.arms.get(CANDIDATE), header.settings.setup
    if judged is None or probe is None:
        return Proof(state="none", why=f"run {run} does not say what it judged")
    ours = bench.header.settings.setup
    for what, found, wanted in (
        ("engine", judged.engine, probe.capabilities.engine),
        ("pair", theirs.pair, arm.pair),
        ("dtype", theirs.dtype, ours.dtype),
        ("device", judged.device, probe.capabilities.device),
        ("models", header.models, bench.header.models),
    ):
        if found != wanted:
            shown = "" if what == "models" else f": {found!r}, not {wanted!r}"
            return Proof(state="none", why=f"run {run} is about another {what}{shown}")
    found = lossless(evidence.findings)
    aside = "" if found is evidence.sealed.outcome else f", {found.value} without its limits"
    return Proof(state=found.value, why=f"run {run}{aside}: {evidence.sealed.headline}")
