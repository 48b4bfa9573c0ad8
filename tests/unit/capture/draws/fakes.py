"""An engine and a scorer without models, and a run for them to draw in."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equivcheck.capture.draws.ledger import Ledger, Output
from equivcheck.capture.draws.plan import DrawPlan
from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request
from equivcheck.core.on_progress import OnProgress
from equivcheck.records.records import SAMPLED, TARGET, Evidence, Header, Preflight
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, read_evidence
from equivcheck.records.score_table import BINS, CODES, ScoreTable
from tests.unit.make import (
    VOCAB,
    make_asked,
    make_capabilities,
    make_generation,
    make_header,
    make_request,
)

WARM = Sampling(temperature=1.0)
CASES = tuple(
    make_request(f"law/{name}", sampling=WARM, max_new_tokens=10, seed=7) for name in "abcde"
)
COMPANY = (make_request("law/plain", max_new_tokens=10),)
PLAN = DrawPlan(cases=CASES, company=COMPANY)
BUDGET = 400


class Dice:
    """Answers with 4 to 10 tokens that follow from the request's seed, the shortest first."""

    def __init__(self, *, fails: str = "", stops_after: int | None = None, wild: str = "") -> None:
        self.fails, self.stops_after, self.wild = fails, stops_after, wild
        self.asked: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return make_capabilities(rule="rejection")

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.asked += [request.key for request in requests]
        answers = [(request, self.answer(request)) for request in requests]
        for request, answer in sorted(answers, key=lambda each: len(each[1].token_ids)):
            if self.stops_after == 0:
                raise KeyboardInterrupt
            if self.fails and self.fails in request.key:
                raise RuntimeError("device lost")
            yield answer
            if self.stops_after is not None:
                self.stops_after -= 1

    def answer(self, request: Request) -> Generation:
        dice = random.Random(f"{request.key} {request.seed}")
        top = VOCAB + 5 if self.wild and self.wild in request.key else VOCAB - 1
        tokens = [dice.randint(3, VOCAB - 1) for _ in range(dice.randint(4, 10))]
        return make_generation(
            [*tokens[:-1], top], key=request.key, prompt_tokens=len(request.prompt_ids)
        )

    def close(self) -> None:
        self.asked.clear()


class Clerk:
    """Scores every token as one that the target might have drawn."""

    def __init__(self) -> None:
        self.scored: list[str] = []
        self.recalled: list[str] = []

    def score(self, asked: Sequence[Output]) -> ScoreTable:
        self.scored += [request.key for request, _ in asked]
        return make_table(asked)

    def recall(self, asked: Sequence[Output]) -> None:
        self.recalled += [request.key for request, _ in asked]


def make_table(asked: Sequence[Output]) -> ScoreTable:
    """A table of so many rows; the surprisal holds the token, to be recognised by."""
    lengths = [len(generation.token_ids) for _, generation in asked]
    rows = sum(lengths)
    zeros, codes = np.zeros(rows, np.float32), np.zeros(rows, np.uint8)
    tokens = [token for _, generation in asked for token in generation.token_ids]
    mass = np.full((rows, BINS), 1 / BINS, np.float32)
    columns: dict[str, Any] = dict.fromkeys(
        (
            "pit_vocabulary",
            "pit_rank",
            "pit_ratio",
            "entropy",
            "distance",
            "accept_prob",
            "crossing_mass",
            "twin_prob",
        ),
        zeros,
    ) | dict.fromkeys(
        CODES,
        codes,
    )
    return ScoreTable(
        keys=tuple(request.key for request, _ in asked),
        starts=np.cumsum([0, *lengths]),
        alternatives=("leak=0.1",),
        draft_distribution="draft model",
        log_ratio=np.zeros((rows, 1), np.float32),
        bin_mass=mass,
        draft_mass=mass,
        recovered_mass=mass,
        surprisal=np.array(tokens, np.float32),
        ends=np.ones(rows, bool),
        crossed=np.zeros(rows, bool),
        **columns,
    )


def header(*arms: str, seed: int = 3) -> Header:
    drawing = arms or (SAMPLED,)
    keys = tuple(case.key for case in CASES)
    return make_header(
        arms=dict.fromkeys((TARGET, *drawing), make_capabilities(rule="rejection")),
        planned={TARGET: keys} | dict.fromkeys(drawing, keys),
        draw_seed=seed,
    )


class Room:
    """A run's folder, opened anew each time as a resumed run would."""

    def __init__(self, folder: Path, *arms: str, seed: int = 3, budget: int = BUDGET) -> None:
        self.path, self.arms = folder / RECORDS_NAME, arms or (SAMPLED,)
        with RecordsWriter.create(self.path, header(*arms, seed=seed)) as writer:
            writer.append(*(make_asked(case) for case in (*CASES, *COMPANY)))
            writer.append(Preflight(positions=9, draft_distance=0.3, divergences={}, tokens=budget))

    def open(self, *, progress: OnProgress | None = None) -> Ledger:
        writer, evidence = RecordsWriter.resume(self.path, header(*self.arms))
        return Ledger(
            DrawPlan(cases=CASES, company=COMPANY, arms=self.arms),
            evidence,
            writer=writer,
            folder=self.path.parent,
            detokenise=lambda token_ids: " ".join(map(str, token_ids)),
            progress=progress,
        )

    def read(self) -> Evidence:
        return read_evidence(self.path)
