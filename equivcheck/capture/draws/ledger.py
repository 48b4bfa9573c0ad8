"""Keep track of what is drawn and what is scored, and write both down as they come.

An interrupted run goes on where this says: every output of a round that was begun is asked for,
since those that came first would be the short ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from equivcheck.capture.ask import ask
from equivcheck.capture.draws.keep_scores import keep_scores
from equivcheck.capture.draws.plan import Ahead, DrawPlan, draw_ahead
from equivcheck.capture.draws.under import Under, draw_under
from equivcheck.core.detokenise import Detokenise, stop_completed_at
from equivcheck.core.engine import Engine
from equivcheck.core.errors import RecordsError, describe
from equivcheck.core.generation import Generation, Request
from equivcheck.core.on_progress import OnProgress
from equivcheck.records.records import (
    CANDIDATE,
    SAMPLED,
    TARGET,
    Evidence,
    Failed,
    Header,
    Preflight,
    SampleRecord,
)
from equivcheck.records.records_file import RecordsWriter
from equivcheck.records.sample_keys import Draw, drawn_request, in_order, parse_draw
from equivcheck.records.score_table_file import kept_scores

if TYPE_CHECKING:
    from equivcheck.records.score_table import ScoreTable

DRAWING = "drawing"
Output = tuple[Request, Generation]
"""What was asked, and what came."""


class Ledger:
    """The draws of a run, its records file, and the scores beside it."""

    def __init__(
        self,
        plan: DrawPlan,
        evidence: Evidence,
        *,
        writer: RecordsWriter,
        folder: Path,
        detokenise: Detokenise,
        progress: OnProgress | None,
    ) -> None:
        """Start from what a run's records already hold. Scores that are not theirs do not count."""
        self.plan, self.writer, self.folder = plan, writer, folder
        self.header, self.preflight = evidence.header, evidence.preflight
        self.detokenise, self.progress = detokenise, progress
        self.requests = {case.key: case for case in plan.cases}
        self.draws = {arm: dict(evidence.draws.get(arm, {})) for arm in plan.arms}
        self.tokens = sum(len(draw.token_ids) for draw in self.draws[SAMPLED].values())
        """Drawn by the arm `sampled`."""
        self.table: ScoreTable | None = None
        with suppress(RecordsError):
            self.table = kept_scores(folder, evidence.scored, self.draws[SAMPLED])
        self.broken = any(
            not scorable(generation, vocab_size=self.header.vocab_size)
            for drawn in self.draws.values()
            for generation in drawn.values()
        )
        """Whether an engine has failed to draw something, or drew what cannot be scored."""
        answers = evidence.captured.get(CANDIDATE, {}).values()
        self.paces = {
            each.generation.key: each.generation.total_seconds / len(each.generation.token_ids)
            for each in answers
            if each.generation.total_seconds is not None and len(each.generation.token_ids)
        }
        """By case, the seconds that a token took, where that is known."""
        self.lengths = {
            key: float(len(captured.generation.token_ids))
            for key, captured in evidence.captured.get(TARGET, {}).items()
        }

    @property
    def scored(self) -> int:
        """Draws that are scored: so many, from the first."""
        return 0 if self.table is None else len(self.table.keys)

    @property
    def budget(self) -> int:
        """Tokens to draw: of a shard, its share of what the whole run draws."""
        return share_of(self.header, self.preflight.tokens) if self.preflight else 0

    @property
    def spent(self) -> bool:
        """Whether the budget is drawn."""
        return self.tokens >= self.budget

    @property
    def begun(self) -> int:
        """The last round of which something is drawn; 0: none."""
        every = (parse_draw(key).round for drawn in self.draws.values() for key in drawn)
        return max(every, default=0)

    def note(self, preflight: Preflight) -> None:
        """Write down what can be seen in how many tokens, or a new budget."""
        self.writer.append(preflight)
        self.preflight = preflight

    def draw(
        self, engines: Mapping[str, Engine], ahead: Ahead, *, arms: Sequence[str] | None = None
    ) -> None:
        """Have the arms, all that draw unless some are named, draw what is missing of rounds."""
        for arm in self.plan.arms if arms is None else arms:
            engine = engines[arm]
            under = self.plan.under if engine.capabilities.serves else ()
            served = frozenset(key for each in under for key in each.drawn(self.plan.cases))
            asked = list(self.missing(ahead, arm=arm, without=served))
            if asked:
                for outcome in ask(engine, asked, arm=arm):
                    self.take(outcome, arm=arm)
            for each in under:
                self.draw_under(engine, each, ahead, arm=arm)

    def draw_under(self, engine: Engine, under: Under, ahead: Ahead, *, arm: str) -> None:
        """Have an arm draw what is missing of rounds under a schedule.

        As many rounds go side by side as have rows of a batch: as many requests come to a row as
        where the schedule is served once.
        """
        cases = under.drawn(self.plan.cases)
        wanted: dict[int, list[str]] = defaultdict(list)
        for number, cut in self.rounds(ahead):
            for case in self.plan.cases[:cut]:
                key = Draw(case.key, number).key
                if case.key in cases and key not in self.draws[arm]:
                    wanted[number].append(key)
        rows = self.header.settings.setup.batch_size
        size = max(1, engine.capabilities.batch_size // rows)
        numbers = list(wanted)
        for together in (numbers[at : at + size] for at in range(0, len(numbers), size)):
            outcomes, run = draw_under(
                engine,
                under,
                together,
                wanted=frozenset(key for number in together for key in wanted[number]),
                seed=self.header.draw_seed,
                arm=arm,
                pace=self.paces.get,
            )
            for outcome in outcomes:
                self.take(outcome, arm=arm)
            if run is not None:
                self.writer.append(run)

    def rounds(self, ahead: Ahead) -> Iterator[tuple[int, int]]:
        """Rounds that are to be drawn, and of each how many cases."""
        yield from ((number, len(self.plan.cases)) for number in ahead.rounds)
        if ahead.cases:
            yield ahead.rounds.stop, ahead.cases

    def missing(self, ahead: Ahead, *, arm: str, without: frozenset[str]) -> Iterator[Request]:
        """What an arm has not drawn yet, some cases apart, each behind the company it has."""
        for number, cut in self.rounds(ahead):
            cases = (case.key for case in self.plan.cases[:cut] if case.key not in without)
            wanted = {Draw(case, number).key for case in cases}
            company: list[Request] = []
            for request in self.plan.round(number, seed=self.header.draw_seed, arm=arm):
                if parse_draw(request.key).case not in self.requests:
                    company.append(request)
                    continue
                if request.key in wanted and request.key not in self.draws[arm]:
                    yield from (*company, request)
                company.clear()

    def take(self, outcome: Generation | Failed, *, arm: str) -> None:
        """Write one outcome down, unless it was company's."""
        if parse_draw(outcome.key).case not in self.requests:
            return
        if isinstance(outcome, Generation):
            drawn = without_scores(outcome)
            stop = self.stop_completed_at(drawn)
            try:
                self.writer.append(SampleRecord(arm=arm, generation=drawn, stop_completed_at=stop))
            except RecordsError as error:
                outcome = Failed(arm=arm, key=outcome.key, message=describe(error))
            else:
                self.draws[arm][drawn.key] = drawn
                self.tokens += len(drawn.token_ids) if arm == SAMPLED else 0
                self.broken |= not scorable(drawn, vocab_size=self.header.vocab_size)
        if isinstance(outcome, Failed):
            self.writer.append(outcome)
            self.broken = True
        self.tell(DRAWING, tokens=self.tokens)

    def stop_completed_at(self, drawn: Generation) -> int | UnsetType | None:
        """Where a stop string of the request is complete; unset: there is nothing to look for."""
        stop = self.requests[parse_draw(drawn.key).case].stop
        if not stop or not scorable(drawn, vocab_size=self.header.vocab_size):
            return UNSET
        return stop_completed_at(self.detokenise, drawn.token_ids, stop)

    def tell(self, doing: str, *, tokens: int) -> None:
        """Say how much of the budget is done."""
        if self.progress:
            self.progress(doing, min(tokens, self.budget), self.budget)

    @property
    def whole(self) -> bool:
        """Whether no round is begun and not drawn to its end."""
        return len(self.draws[SAMPLED]) % max(1, len(self.plan.cases)) == 0

    def rounds_begun(self) -> Ahead:
        """All rounds of which something is drawn, to be drawn to their end."""
        return Ahead(range(1, self.begun + 1))

    def ahead(self) -> Ahead:
        """What to draw before the next look."""
        drawn: dict[str, list[int]] = defaultdict(list)
        for key, generation in self.draws[SAMPLED].items():
            drawn[parse_draw(key).case].append(len(generation.token_ids))
        lengths = self.lengths | {case: fmean(found) for case, found in drawn.items()}
        return draw_ahead(
            self.plan,
            lengths,
            outputs=len(self.draws[SAMPLED]),
            drawn=self.tokens,
            budget=self.budget,
        )

    def outputs(self) -> list[Output]:
        """All draws of the arm `sampled` with their requests, in the order of asking."""
        drawn, seed = self.draws[SAMPLED], self.header.draw_seed
        found = []
        for key in in_order(drawn, list(self.requests)):
            case, number = parse_draw(key)
            request = drawn_request(self.requests[case], round=number, seed=seed)
            found.append((request, drawn[key]))
        return found

    def keep(self, table: ScoreTable) -> None:
        """Write down the scores of all draws so far."""
        keep_scores(self.folder, table, self.draws[SAMPLED], writer=self.writer)
        self.table = table


def without_scores(generation: Generation) -> Generation:
    """A draw as records keep it: tokens and what each step did, neither scores nor times."""
    return msgspec.structs.replace(
        generation,
        steps=tuple(msgspec.structs.replace(step, seconds=None) for step in generation.steps),
        scores=None,
        logit_digests=None,
        prefill_seconds=None,
        total_seconds=None,
    )


def share_of(header: Header, tokens: int) -> int:
    """A run's part of the tokens that the whole run draws: all, unless it is a shard."""
    return math.ceil(tokens / header.shard.of) if header.shard else tokens


def scorable(generation: Generation, *, vocab_size: int) -> bool:
    """Whether the target can be asked about these tokens."""
    tokens = generation.token_ids
    return bool(tokens) and all(0 <= token < vocab_size for token in tokens)
