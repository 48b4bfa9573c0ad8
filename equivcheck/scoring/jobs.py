"""Find out what of a run has to be scored, have it scored, and add it to the run's records.

Every case on which an arm parts from the target is arbitrated; every n-th output of target and
candidate is scored in full, to hold the engines' own scores against. What the records already hold
is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from equivcheck.core.detokenise import detokeniser
from equivcheck.core.engine import Engine
from equivcheck.core.extras import has_torch
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import Settings
from equivcheck.engines.opening import LOGS, Opening
from equivcheck.records.divergence import Pair, identity_is_claimed, join
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    REPLICA,
    SCORER,
    SERVED,
    SERVED_TARGET,
    SHUFFLED,
    TARGET,
    Arbitration,
    Evidence,
    Rescored,
    TextGaps,
)
from equivcheck.records.records_file import RecordsWriter, read_evidence

if TYPE_CHECKING:
    from equivcheck.scoring.reference import OutputScores, Reference
    from equivcheck.scoring.served_reference import ServedReference

SCORING = "scoring"
CONTEXT_TOKENS = 24
"""How much of the shared prefix is shown."""
OUTPUTS_KEPT = 16
"""Scored outputs that are kept for the next arm: most arms share the target's."""


class Parted(NamedTuple):
    """A case to arbitrate."""

    pair: Pair

    @property
    def key(self) -> str:
        """The case's."""
        return self.pair.key


class Sampled(NamedTuple):
    """An output to score in full."""

    key: str
    arm: str


def score(path: Path, *, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Add what is missing of arbitrations and rescored outputs to a run's records.

    Adds nothing where torch is not installed: arms that part are then told apart by nobody, and
    the verdict is inconclusive where that decides.

    Raises:
        RecordsError: the records cannot be read.
        PairError: the run's pair cannot be loaded.
        SettingsError, EngineError: a server is to score, and cannot or does not agree.
    """
    if not has_torch():
        return
    evidence = read_evidence(path, compact=True)
    jobs: list[Parted | Sampled] = [*parted(evidence), *sampled(evidence)]
    if not jobs:
        return
    # In the order of the cases, so that arms which gave the same output share its scores.
    order = {key: place for place, key in enumerate(evidence.asked)}
    jobs.sort(key=lambda job: order[job.key])
    writer, _ = RecordsWriter.resume(path, evidence.header, compact=True)
    with writer, ExitStack() as stack:
        scorer = Scorer(evidence, open_reference(path, evidence, stack))
        for done, job in enumerate(jobs, start=1):
            found = scorer.arbitrate(job.pair) if isinstance(job, Parted) else scorer.rescore(job)
            if found is not None:
                writer.append(found)
            if progress:
                progress(SCORING, done, len(jobs))


def parted(evidence: Evidence) -> list[Parted]:
    """Cases on which an arm parts from the target and nobody has said yet who is right.

    Sampled cases count only where both arms claim to draw the same tokens.
    """
    done = {(found.key, found.arm) for found in evidence.arbitrations}
    claimed = identity_is_claimed(evidence)
    replicas = (arm for arm in evidence.header.planned if arm.startswith(REPLICA))
    return [
        Parted(pair)
        for arm in (CANDIDATE, CONTROL, SHUFFLED, REPEAT, SERVED, SERVED_TARGET, *replicas)
        for pair in join(evidence, arm=arm)
        if pair.position is not None
        and (pair.key, arm) not in done
        and (claimed or evidence.asked[pair.key].request.sampling.greedy)
        and can_be_scored(pair.target, evidence)
        and can_be_scored(pair.other, evidence)
    ]


def sampled(evidence: Evidence) -> list[Sampled]:
    """Every n-th output of each workload, of target and candidate, that is not scored yet."""
    done = {(found.key, found.arm) for found in evidence.rescored}
    every = evidence.header.settings.rescore_every
    places: dict[str, int] = {}
    chosen = []
    # Of a shard the same outputs are chosen as of the whole run.
    shard = evidence.header.shard
    for key in shard.keys if shard else evidence.asked:
        workload = key.partition("/")[0]
        place = places.get(workload, 0)
        places[workload] = place + 1
        if place % every == 0:
            chosen.append(key)
    return [
        Sampled(key, arm)
        for key in chosen
        for arm in (TARGET, CANDIDATE)
        if key in evidence.captured.get(arm, {})
        and (key, arm) not in done
        and can_be_scored(evidence.captured[arm][key].generation, evidence)
    ]


def can_be_scored(answer: Generation, evidence: Evidence) -> bool:
    """Whether all ids are in the vocabulary; where not, `stopping` fails the answer."""
    return all(0 <= token < evidence.header.vocab_size for token in answer.token_ids)


def open_reference(path: Path, evidence: Evidence, stack: ExitStack) -> Reference | ServedReference:
    """The pair's own weights, or a server that scores, which is closed with the stack.

    Raises:
        PairError: the pair cannot be loaded.
        SettingsError: the server cannot score, or does not agree with the target.
        EngineError: the server cannot be reached or used.
    """
    header = evidence.header
    settings, ends = header.settings, header.eos_token_ids
    if settings.scorer is None:
        from equivcheck.scoring.reference import Reference

        return Reference(settings, eos_token_ids=ends)
    from equivcheck.engines.http.scorer import open_scorer
    from equivcheck.engines.registry import load_engine
    from equivcheck.scoring.agreement import agreement
    from equivcheck.scoring.served import ServerScorer
    from equivcheck.scoring.served_reference import ServedReference

    opening = Opening(
        arm=SCORER,
        tables=settings.engine,
        clock=settings.clock,
        logs=path.absolute().parent / LOGS,
        resumed=True,
    )
    engine = load_engine(settings.scorer, settings.setup, opening=opening)
    stack.callback(engine.close)
    served = ServerScorer(open_scorer(engine))
    agreement(served, evidence, target=target_by_url(settings, opening, stack))
    return ServedReference(served, eos_token_ids=ends)


def target_by_url(settings: Settings, opening: Opening, stack: ExitStack) -> Engine | None:
    """The target's engine where it is a server that runs, closed with the stack; None: it is not.

    Raises:
        SettingsError, EngineError: it cannot be opened.
    """
    from equivcheck.engines.naming import EngineSpec, read_spec
    from equivcheck.engines.registry import load_engine

    table = settings.engine.get(EngineSpec.parse(settings.target).name)
    starts = table is not None and table.start is not None
    if starts or read_spec(settings.target, settings.engine).name != "http":
        return None
    engine = load_engine(settings.target, settings.setup, opening=replace(opening, arm=TARGET))
    stack.callback(engine.close)
    return engine


class Scorer:
    """The reference and what it is asked about."""

    def __init__(self, evidence: Evidence, reference: Reference | ServedReference) -> None:
        """Take over the reference of a run."""
        from equivcheck.pairs.tokenizer import load_tokenizer

        self.evidence = evidence
        self.tokenizer: Any = load_tokenizer(evidence.header.settings.setup.pair)
        self.reference = reference
        self.scores = lru_cache(maxsize=OUTPUTS_KEPT)(self.score_output)

    def score_output(self, key: str, tokens: tuple[int, ...]) -> OutputScores | None:
        """Score one output of a case; None: a server was to, and cannot."""
        return self.reference.score(self.request(key), tokens)

    def request(self, key: str) -> Request:
        """What was asked."""
        return self.evidence.asked[key].request

    def rescore(self, job: Sampled) -> Rescored | None:
        """Score an output in full, if that can be done."""
        tokens = tuple(self.evidence.captured[job.arm][job.key].generation.token_ids)
        scores = self.scores(job.key, tokens)
        if scores is None:
            return None
        return Rescored(
            key=job.key,
            arm=job.arm,
            reference=self.reference.name,
            logprobs=scores.logprobs,
            gaps=scores.gaps,
        )

    def arbitrate(self, pair: Pair) -> Arbitration | None:
        """Say what the reference holds of both arms' tokens where they part, if it can."""
        from equivcheck.scoring.reference import written

        assert pair.position is not None
        request = self.request(pair.key)
        ours, theirs = tuple(pair.target.token_ids), tuple(pair.other.token_ids)
        shared = ours[: pair.position]
        tokens = [row[pair.position] for row in (ours, theirs) if pair.position < len(row)]
        distribution = self.reference.next_token(request, shared, among=tokens)
        our_scores, their_scores = self.scores(pair.key, ours), self.scores(pair.key, theirs)
        if distribution is None or our_scores is None or their_scores is None:
            return None
        best_logprob, best = distribution.logprobs.max(dim=-1)

        def logprob_in(output: Sequence[int]) -> float | None:
            at = pair.position
            assert at is not None
            return written(float(distribution.logprobs[output[at]])) if at < len(output) else None

        def piece_in(output: Sequence[int]) -> str:
            at = pair.position
            assert at is not None
            return self.decode(output[at : at + 1])

        return Arbitration(
            key=pair.key,
            arm=pair.arm,
            position=pair.position,
            reference=self.reference.name,
            context=self.decode([*request.prompt_ids, *shared][-CONTEXT_TOKENS:]),
            target_piece=piece_in(ours),
            arm_piece=piece_in(theirs),
            target_logprob=logprob_in(ours),
            arm_logprob=logprob_in(theirs),
            best=int(best),
            best_logprob=written(float(best_logprob)),
            magnitude=max((abs(float(distribution.raw[token])) for token in tokens), default=None),
            target_gaps=our_scores.gaps,
            arm_gaps=their_scores.gaps,
            text=self.text_gaps(pair),
        )

    def text_gaps(self, pair: Pair) -> TextGaps | None:
        """What can be said of tokens that are not known; None: they are, or no weights say it."""
        from equivcheck.scoring.reference import Reference
        from equivcheck.scoring.text_gaps import text_gaps

        if not pair.text_alone or not isinstance(self.reference, Reference):
            return None
        request = self.request(pair.key)
        return text_gaps(self.reference, request, pair, detokenise=detokeniser(self.tokenizer))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text for people, special tokens included."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=False)
        return text
