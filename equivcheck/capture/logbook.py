"""Keep track of what each arm has answered, and write every answer down as it comes.

Between the engines and the records file: knows what is still missing, so that an interrupted run
asks for nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from equivcheck.capture.ask import ask
from equivcheck.capture.plan import Chunk, Plan
from equivcheck.capture.prompts import Histories
from equivcheck.core.detokenise import Detokenise, stop_began_at, stop_completed_at
from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError, RecordsError, describe
from equivcheck.core.generation import Generation, Prompt, Request
from equivcheck.core.on_progress import OnProgress
from equivcheck.records.records import (
    CANDIDATE,
    TARGET,
    Evidence,
    Failed,
    GenerationRecord,
    RequestRecord,
)
from equivcheck.records.records_file import RecordsWriter

GENERATING = "generating"


class Logbook:
    """What is planned, what is answered, and the open records file."""

    def __init__(
        self,
        plan: Plan,
        evidence: Evidence,
        *,
        writer: RecordsWriter,
        detokenise: Detokenise,
        progress: OnProgress | None,
    ) -> None:
        """Start from what a run's records already hold; write down what was not asked yet."""
        self.plan, self.writer, self.detokenise = plan, writer, detokenise
        self.header = evidence.header
        self.progress = progress
        self.requests = {each.request.key: each.request for each in plan.asked}
        self.answered = {arm: set(evidence.answers(arm)) for arm in plan.planned}
        self.failed: dict[str, dict[str, str]] = {arm: {} for arm in plan.planned}
        self.histories = Histories(plan.turns)
        self.served = {(each.arm, each.schedule.name) for each in evidence.served}
        """By arm and suite, the schedules that have been served to their end."""
        self.paces: dict[tuple[str, str], float] = {}
        """By arm and key, the seconds that a token took, where that is known."""
        for arm in plan.planned:
            stored = evidence.answers(arm).values()
            self.histories.stored(stored)
            for each in stored:
                self.note(each.generation, arm=arm)
        new = (each for each in plan.asked if each.request.key not in evidence.asked)
        writer.append(
            *(replace(each, request=replace(each.request, conversation=None)) for each in new)
        )

    def prompts(self, asked: Mapping[str, RequestRecord]) -> dict[str, Prompt]:
        """Key to the prompt that the target got, and what it was made of.

        Args:
            asked: The target's requests, as records hold them.
        """
        made = {key: request.conversation for key, request in self.requests.items()}
        made |= self.histories.conversations(TARGET)
        return {key: Prompt(each.request.prompt_ids, made[key]) for key, each in asked.items()}

    def missing(self, arm: str) -> set[str]:
        """The keys that an arm has yet to answer."""
        return set(self.plan.planned[arm]) - self.answered[arm]

    def put(self, engine: Engine, chunk: Chunk, *, arm: str) -> None:
        """Ask an arm for what is missing of a chunk.

        Where answers may hang on their company, a chunk that was interrupted is asked as a whole
        again, and only what was missing is written down.
        """
        planned = set(self.plan.planned[arm])
        of_arm = [request for request in chunk if request.key in planned]
        wanted = [request for request in of_arm if request.key in self.missing(arm)]
        if wanted:
            together = of_arm if depends_on_company(engine) else wanted
            self.ask(engine, together, arm=arm)

    def ask(self, engine: Engine, requests: Iterable[Request], *, arm: str) -> None:
        """Put requests to an arm, later turns with its own answers before them."""
        ready = [self.histories.asked(request, arm=arm) for request in requests]
        self.take_all((each for each in ready if isinstance(each, Failed)), arm=arm)
        together = [each for each in ready if isinstance(each, Request)]
        self.take_all(ask(engine, together, arm=arm), arm=arm)

    def take_all(self, outcomes: Iterable[Generation | Failed], *, arm: str) -> None:
        """Write down the outcomes of an arm that are planned and new."""
        wanted = self.missing(arm)
        for outcome in outcomes:
            if outcome.key in wanted:
                self.take(outcome, arm=arm)

    def take(self, outcome: Generation | Failed, *, arm: str) -> None:
        """Write one outcome down and tell how far the run is."""
        if isinstance(outcome, Generation):
            try:
                self.writer.append(self.captured(outcome, arm=arm))
            except RecordsError as error:
                # A NaN among the scores, for instance: no answer that could be read back.
                outcome = Failed(arm=arm, key=outcome.key, message=describe(error))
        if isinstance(outcome, Failed):
            self.writer.append(outcome)
            self.failed[arm][outcome.key] = outcome.message
        else:
            self.answered[arm].add(outcome.key)
            self.note(outcome, arm=arm)
        if self.progress:
            done = sum(len(keys) for keys in (*self.answered.values(), *self.failed.values()))
            self.progress(GENERATING, done, sum(map(len, self.plan.planned.values())))

    def note(self, generation: Generation, *, arm: str) -> None:
        """Remember of an answer what later requests hang on."""
        self.histories.note(generation, arm=arm)
        if generation.total_seconds is not None and generation.token_ids:
            pace = generation.total_seconds / len(generation.token_ids)
            self.paces[arm, generation.key] = pace

    def captured(self, generation: Generation, *, arm: str) -> GenerationRecord:
        """An answer with what only a tokenizer can say about it."""
        request = self.requests[generation.key]
        known = [token for token in generation.token_ids if 0 <= token < self.header.vocab_size]
        completed = began = None
        if len(known) == len(generation.token_ids):
            completed = stop_completed_at(self.detokenise, known, request.stop)
        if completed is not None:
            began = stop_began_at(self.detokenise, known, request.stop, completed_at=completed)
        return GenerationRecord(
            arm=arm,
            generation=generation,
            text=self.detokenise(known),
            stop_completed_at=completed,
            stop_began_at=began,
            prompt_ids=self.histories.prompt(generation.key, arm=arm),
        )

    def refuse_silence(self) -> None:
        """Refuse to go on with a run in which one of the two arms that matter said nothing.

        Raises:
            EngineError: with the first thing that the engine said instead.
        """
        for arm in (TARGET, CANDIDATE):
            if self.answered[arm] or not self.failed[arm]:
                continue
            key, message = next(iter(self.failed[arm].items()))
            raise EngineError(
                f"{arm} ({self.header.arms[arm].engine}) answered none of "
                f"{len(self.plan.planned[arm])} cases; of {key} it says: {message}"
            )


def depends_on_company(engine: Engine) -> bool:
    """Whether an answer's low bits may depend on what else is in the batch."""
    told = engine.capabilities
    return told.identity is None and told.batch_size > 1
