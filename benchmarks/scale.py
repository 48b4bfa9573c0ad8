"""Measure time and peak memory of verbs that read a run, over synthetic runs of any size.

    python -m benchmarks.scale make FOLDER --tokens 1000000 --length 250
    python -m benchmarks.scale measure FOLDER [--verb judge] [--verb report]

A synthetic run has the arms of a default run with the engine ``native``: four drafts a step,
scores, fingerprints of logits and steps with their drafts, all greedy and identical, so that it
passes. Its tokens are counted over all arms, as they lie in the file. With ``--longest 32768`` one
case is that long. ``measure`` runs each verb in a process of its own and prints a JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request, Step, TokenScore
from equivcheck.core.settings import Settings
from equivcheck.records.journal import JournalWriter
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SCHEMA,
    SHUFFLED,
    TARGET,
    Gap,
    GenerationRecord,
    Header,
    Record,
    RequestRecord,
    Rescored,
    SuiteRef,
)
from equivcheck.records.records_file import RECORDS_NAME, seal

GAMMA = 4
VOCABULARY = 32_000
PROMPT = 40
WORKLOADS = ("code", "chat", "json_sql")
PROBE_EVERY, RESCORE_EVERY = 4, 8
SHARE = {TARGET: 1, CANDIDATE: 1, CONTROL: 1, REPEAT: PROBE_EVERY, SHUFFLED: PROBE_EVERY}
"""One case in so many is put to an arm."""
KINDS = 32
"""Different answers of one length; the cases of a run take them in turn."""


def main() -> None:
    """Make a run, or measure the verbs over one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="over all arms")
    parser.add_argument("--length", type=int, default=250, help="tokens of an answer")
    parser.add_argument("--longest", type=int, default=0, help="tokens of one long answer")
    parser.add_argument("--verb", action="append", choices=("judge", "report"))
    told = parser.parse_args()
    if told.what == "make":
        make(told.folder, tokens=told.tokens, length=told.length, longest=told.longest)
        return
    verbs = told.verb or ["judge", "report"]
    print(json.dumps([measured(told.folder, verb) for verb in verbs], indent=2))


def make(folder: Path, *, tokens: int, length: int, longest: int) -> None:
    """Write a finished run of about so many tokens, and have it judged."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    records = folder / RECORDS_NAME
    encode = msgspec.json.Encoder().encode
    with JournalWriter(records.open("wb")) as writer:
        for record in lines(tokens=tokens, length=length, longest=longest):
            writer.write(encode(record))
    from equivcheck.checks.verdict import judge
    from equivcheck.records.records_file import read_evidence

    verdict = judge(read_evidence(records))
    seal(records, findings=verdict.findings, sealed=verdict.sealed())
    print(f"{records}: {verdict.headline}", file=sys.stderr)


def lines(*, tokens: int, length: int, longest: int) -> Iterator[Record]:
    """The evidence of such a run, header first."""
    a_case = sum(1 / share for share in SHARE.values())
    lengths = [longest] if longest else []
    lengths += [length] * max(1, round((tokens - sum(lengths) * len(SHARE)) / length / a_case))
    requests = [request(index, most) for index, most in enumerate(lengths)]
    planned = {
        arm: tuple(each.key for index, each in enumerate(requests) if index % share == 0)
        for arm, share in SHARE.items()
    }
    yield header(planned, cases=len(requests))
    for index, each in enumerate(requests):
        yield RequestRecord(request=each, workload=workload(index), path="made", line=index + 1)
    answers = Answers()
    for arm, share in SHARE.items():
        for index, each in enumerate(requests):
            if index % share == 0:
                yield GenerationRecord(
                    arm=arm, generation=answers.of(each, index, arm), text="made " * 9
                )
    for arm in (TARGET, CANDIDATE):
        for index, each in enumerate(requests):
            if index % RESCORE_EVERY == 0:
                yield answers.rescored(each, index, arm)


def workload(index: int) -> str:
    """Cases belong to the workloads in turn."""
    return WORKLOADS[index % len(WORKLOADS)]


def request(index: int, most: int) -> Request:
    """Each prompt has other ids."""
    prompt = (*divmod(index, VOCABULARY), *range(PROMPT - 2))
    key = f"{workload(index)}/case-{index}"
    return Request(key=key, prompt_ids=prompt, max_new_tokens=most)


def header(planned: dict[str, tuple[str, ...]], *, cases: int) -> Header:
    """As a run of the native engine writes it."""
    told = {
        arm: Capabilities(
            engine=f"native:gamma={GAMMA if speculates(arm) else 0}",
            device="cpu",
            dtype="float32",
            batch_size=8,
            num_speculative_tokens=GAMMA if speculates(arm) else 0,
            rule="coupled",
            reports_steps=True,
            reports_scores=True,
            reports_rejected=True,
            identity=None if arm == CONTROL else "synthetic",
        )
        for arm in planned
    }
    suites = tuple(
        SuiteRef(path="made", workload=name, digest="0" * 64, cases=cases) for name in WORKLOADS
    )
    return Header(
        schema=SCHEMA,
        run="scale",
        created="2026-01-01T00:00:00+00:00",
        settings=Settings(),
        suites=suites,
        arms=told,
        planned=planned,
        eos_token_ids=(0,),
        vocab_size=VOCABULARY,
        environment={"python": "3.11"},
    )


def speculates(arm: str) -> bool:
    """Whether an arm has drafts."""
    return arm not in (TARGET, CONTROL)


class Answers:
    """Answers of the arms: `KINDS` different ones of each length, made once."""

    def __init__(self) -> None:
        """None is made yet."""
        self._made: dict[tuple[int, int, bool], Generation] = {}

    def of(self, request: Request, index: int, arm: str) -> Generation:
        """What an arm answers to a request."""
        place = (request.max_new_tokens, index % KINDS, speculates(arm))
        if place not in self._made:
            self._made[place] = generation(*place)
        return msgspec.structs.replace(self._made[place], key=request.key)

    def rescored(self, request: Request, index: int, arm: str) -> Rescored:
        """What an independent pass says of it."""
        scores = self.of(request, index, arm).scores or ()
        return Rescored(
            key=request.key,
            arm=arm,
            reference="transformers float32",
            logprobs=tuple(score.logprob for score in scores),
            gaps=tuple(Gap(gap=0.0, best=score.rival, magnitude=7.5) for score in scores),
        )


def generation(most: int, kind: int, speculates: bool) -> Generation:
    """One answer that stops at its limit; the same tokens, whether it was drafted or not."""
    dice = np.random.default_rng([most, kind])
    ids = dice.integers(2, VOCABULARY, most).tolist()
    best = np.round(dice.uniform(-3.0, -0.7, most), 7).tolist()
    scores = tuple(
        TokenScore(logprob=logprob, rival=1, rival_logprob=round(logprob - 1.5, 7))
        for logprob in best
    )
    fingerprints = dice.integers(-(2**63), 2**63 - 1, most).tolist()
    steps, at = [], 0
    while at < most:
        drafted = min(GAMMA, most - at - 1) if speculates else 0
        accepted = int(dice.integers(0, drafted + 1)) if drafted else 0
        drafts = [*ids[at : at + accepted], *([1] * (drafted - accepted))]
        steps.append(
            Step(
                drafted=drafted,
                accepted=accepted,
                emitted=accepted + 1,
                seconds=round(0.005 + 1e-6 * (at % 977), 7),
                rejected=1 if accepted < drafted else None,
                drafts=tuple(drafts),
            )
        )
        at += accepted + 1
    return Generation(
        key="",
        token_ids=tuple(ids),
        finish_reason="length",
        prompt_tokens=PROMPT,
        steps=tuple(steps),
        scores=scores,
        logit_digests=tuple(fingerprints),
        prefill_seconds=0.01,
        total_seconds=0.01 + 0.005 * len(steps),
    )


def measured(folder: Path, verb: str) -> dict[str, Any]:
    """Run a verb over a run: seconds of CPU and of the clock, peak resident memory."""
    began = time.monotonic()
    words = [sys.executable, "-m", "equivcheck", verb, str(folder), "--json"]
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(sys.executable, words, os.environ, file_actions=quiet)
    _, status, used = os.wait4(process, 0)
    return {
        "verb": verb,
        "exit": os.waitstatus_to_exitcode(status),
        "wall_s": round(time.monotonic() - began, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_gb": round(used.ru_maxrss * 1024 / 1e9, 3),
        "file_gb": round((folder / RECORDS_NAME).stat().st_size / 1e9, 3),
    }


if __name__ == "__main__":
    main()
