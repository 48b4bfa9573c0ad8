"""The decoder: plain and speculative decoding are one loop over one step of a fixed shape.

Plain decoding is the step with no drafts. Both run the target on `[rows, width]` tokens whatever
is live in them, so a token's logits have the same bits in both: the output is identical by
construction, not by luck.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial

import torch

from equivcheck.core.detokenise import Detokenise
from equivcheck.core.generation import Generation, Request
from equivcheck.decoding.drafters import Drafter
from equivcheck.decoding.gamma import GammaPolicy, Kind
from equivcheck.decoding.graphs import Recorder, StepRunner
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.outcome import RowOutcome, fingerprint_weights, unpack
from equivcheck.decoding.prefill import Prefill, Span
from equivcheck.decoding.progress import Progress, refuse_unless_done
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.step import DecodingStep
from equivcheck.decoding.stopping import StopRules, stop_ids
from equivcheck.decoding.verification import VerificationRule


class Decoder(DecodingStep):
    """Decodes requests in a batch of `rows` rows, refilled from a queue as rows finish."""

    def __init__(
        self,
        model: StaticModel,
        *,
        rows: int,
        width: int,
        rule: VerificationRule,
        drafter: Drafter | None,
        gamma: GammaPolicy,
        eos_token_ids: Sequence[int],
        detokenise: Detokenise,
        reads_together: bool = False,
    ) -> None:
        """Allocate the batch.

        Args:
            model: the target.
            rows: requests decoded at a time.
            width: the target step's most slots, at least the largest gamma + 1; each step has
                as many where bits depend on it, and else those that it fills.
            rule: that accepts drafts.
            drafter: that proposes them; None is plain decoding.
            gamma: how many.
            eos_token_ids: that end a text.
            detokenise: ids to text, for stop strings.
            reads_together: prompts may share a chunk, which must be the same in arms that are
                compared bit for bit (`contract.probe_prefill`).
        """
        self.model, self.width = model, width
        self.rule, self.drafter, self.gamma = rule, drafter, gamma
        self.eos_token_ids, self.detokenise = tuple(eos_token_ids), detokenise
        self.cache = model.new_cache(rows=rows, keeps=drafter.keeps if drafter else ())
        self.prefill = Prefill(model, self.cache, together=reads_together, whole=reads_together)
        vocab = model.architecture.vocab
        self.rows = Rows(
            rows=rows, positions=self.cache.positions, vocab=vocab, device=model.device
        )
        self.rows.hidden = self.cache.hidden
        self.fingerprint_weights = fingerprint_weights(vocab, model.device)
        lag = 0 if drafter is not None and drafter.waits else None
        self.runner = StepRunner(model.device, state=self.rows.state, lag=lag)
        self.seats: list[Progress | None] = [None] * rows
        self.drafted_at: dict[int, int] = {}
        """By row, the length up to which the drafter knows its request; none: not at all."""

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield each request's generation as soon as it is finished.

        Raises:
            EngineError: the decoder was put to other work, and what was left here is lost.
        """
        queue = deque(requests)
        self.clear()
        seats = self.seats
        while self.fill(queue):
            gamma = self.next_gamma()
            outcomes = self.step(gamma)
            landed = time.perf_counter()
            self.gamma.observe(gamma, self.live(outcomes))
            for generation in self.collect(outcomes, landed):
                yield generation
                if self.seats is not seats:
                    refuse_unless_done(queue, seats)
                    return

    def next_gamma(self) -> int:
        """Drafts of the next step."""
        return self.gamma.choose() if self.drafter else 0

    def step(self, gamma: int) -> list[RowOutcome]:
        """Start one step; the outcome of the one that has come to the host meanwhile.

        On a CPU, this step's. On a GPU, the previous step's: none for the first call, and tokens
        computed after a request ended are discarded.
        """
        unread, self.rows.reach = self.gamma.unread, self.reach()
        if gamma and self.drafter is not None:
            self.drafter.follow(self.seats)
            if unread:
                self.catch_up()
        key = self.step_key(gamma, unread=unread)
        landed = self.runner.run(key, lambda: self.speculate(gamma=gamma, unread=unread))
        for seat in self.seats:
            if seat is not None:
                seat.steps_started += 1
        return [] if landed is None else unpack(landed)

    def step_key(self, gamma: int, *, unread: int) -> Hashable:
        """What tells steps apart of which each is its own graph."""
        return gamma, unread if gamma else 0, self.rows.controls.features, self.rows.reach

    @torch.inference_mode()
    def ready(self, requests: Sequence[Request]) -> None:
        """Record ahead the steps that these requests will take, where steps are recorded at all.

        Otherwise each is recorded when it first comes up, and that step takes long.
        """
        if not self.runner.records:
            return
        self.clear()
        self.rows.controls.set_features(requests)
        prompts = [len(each.prompt_ids) for each in requests]
        longest = max(len(each.prompt_ids) + each.max_new_tokens for each in requests)
        self.prefill.ready(self.rows.tokens, longest=max(prompts))
        if self.drafter is not None:
            # It may be asked late, and then reads what was answered, too.
            self.drafter.ready(self.rows, longest=longest)
        first, last = self.reach_of(min(prompts)), self.reach_of(longest)
        for reach in (each for each in self.model.reaches if first <= each <= last):
            self.rows.reach = reach
            for gamma, unread in self.gamma.kinds if self.drafter else [Kind(0, 0)]:
                step = partial(self.speculate, gamma=gamma, unread=unread)
                self.runner.recorded(self.step_key(gamma, unread=unread), step)

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """All that record something here."""
        drafting = self.drafter.recorders if self.drafter else ()
        return (self.runner, self.prefill.recorder, *drafting)

    def catch_up(self) -> None:
        """Have the drafter read what it has missed of the rows, while nothing was drafted."""
        lengths = {row: seat.length for row, seat in enumerate(self.seats) if seat is not None}
        behind = [row for row in lengths if self.gamma.behind or row not in self.drafted_at]
        self.introduce({row: lengths[row] for row in behind})
        self.drafted_at |= lengths

    def introduce(self, lengths: Mapping[int, int]) -> None:
        """Have the drafter read rows up to these lengths, from where it knows them."""
        assert self.drafter is not None
        # What it knew for last it may have known as a draft.
        known = {row: max(0, self.drafted_at.get(row, 0) - 1) for row in lengths}
        self.drafter.read(
            self.rows, [Span(row, known[row], length - 1) for row, length in lengths.items()]
        )
        self.drafted_at |= lengths

    def reach(self) -> int:
        """Cache positions that the next step has to see: every row's, with its window behind."""
        return self.reach_of(max(seat.length for seat in self.seats if seat is not None))

    def reach_of(self, length: int) -> int:
        """What the next step has to see where the longest row has `length` tokens."""
        return self.model.reach(length + self.width * (1 + self.runner.lag))

    def fill(self, queue: deque[Request]) -> bool:
        """Seat waiting requests in idle rows; False when there is nothing left to do."""
        started = time.perf_counter()
        idle = [row for row, seat in enumerate(self.seats) if seat is None]
        arrived = {row: queue.popleft() for row in idle[: len(queue)]}
        for row, request in arrived.items():
            self.admit(row, request)
        if arrived:
            self.read_prompts(arrived)
            # Else the time it takes would count as the first step's.
            self.runner.wait()
        for row, request in arrived.items():
            self.seats[row] = Progress(request, self.stops(request), started=started)
        self.rows.controls.set_features([seat.request for seat in self.seats if seat])
        self.gamma.truncating = self.rows.controls.features.truncated
        return any(self.seats)

    def admit(self, row: int, request: Request) -> None:
        """Give a row to a request."""
        ends = stop_ids(request, eos_token_ids=self.eos_token_ids)
        self.rows.admit(row, request, stop_ids=ends)
        self.drafted_at.pop(row, None)

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read the prompts of requests by row, all but the last token of each."""
        lengths = {row: len(request.prompt_ids) for row, request in arrived.items()}
        spans = [Span(row, 0, length - 1) for row, length in lengths.items()]
        self.prefill.read(self.rows.tokens, spans)
        # A drafter that is not asked anyway need not read what it may never be asked of.
        if self.next_gamma() and self.gamma.unread:
            self.introduce(lengths)

    def stops(self, request: Request) -> StopRules:
        """The rules that end a request."""
        return StopRules(request, eos_token_ids=self.eos_token_ids, detokenise=self.detokenise)

    def collect(self, outcomes: list[RowOutcome], landed: float) -> Iterator[Generation]:
        """Hand each row its part of a step that `landed` then; free the rows that are finished."""
        for row, outcome in enumerate(outcomes):
            seat = self.answering(row)
            if seat is not None and (generation := seat.take(outcome, landed=landed)):
                self.seats[row] = None
                self.rows.release(row)
                yield generation

    def live(self, outcomes: list[RowOutcome]) -> list[RowOutcome]:
        """The outcomes of rows that serve a request."""
        return [outcome for row, outcome in enumerate(outcomes) if self.answering(row)]

    def answering(self, row: int) -> Progress | None:
        """The request that a row's outcome belongs to, if it was seated when the step started."""
        seat = self.seats[row]
        return seat if seat is not None and seat.steps_started > self.runner.lag else None

    def clear(self) -> None:
        """Forget whatever an abandoned run has left behind."""
        self.runner.forget()
        # New ones, so that an abandoned run that is resumed sees its own replaced.
        self.seats = [None] * len(self.seats)
        for row in range(len(self.seats)):
            self.rows.release(row)
