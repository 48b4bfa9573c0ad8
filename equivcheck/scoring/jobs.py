"""Find out what of a run has to be scored, have it scored, and add it to the run's records.

Every case on which an arm parts from the target is arbitrated; every n-th output of target and
candidate is scored in full, to hold the engines' own scores against. What the records already hold
is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from equivcheck.core.generation import Generation, Request
from equivcheck.records.divergence import Pair, identity_is_claimed, join
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SHUFFLED,
    TARGET,
    Arbitration,
    Evidence,
    Rescored,
)
from equivcheck.records.records_file import RecordsWriter, read_evidence

if TYPE_CHECKING:
    from equivcheck.scoring.reference import OutputScores, Reference

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

    Raises:
        RecordsError: the records cannot be read.
        PairError: the run's pair cannot be loaded.
    """
    evidence = read_evidence(path)
    jobs: list[Parted | Sampled] = [*parted(evidence), *sampled(evidence)]
    if not jobs:
        return
    # In the order of the cases, so that arms which gave the same output share its scores.
    order = {key: place for place, key in enumerate(evidence.asked)}
    jobs.sort(key=lambda job: order[job.key])
    scorer = Scorer(evidence)
    writer, _ = RecordsWriter.resume(path, evidence.header)
    with writer:
        for done, job in enumerate(jobs, start=1):
            if isinstance(job, Parted):
                writer.append(scorer.arbitrate(job.pair))
            else:
                writer.append(scorer.rescore(job))
            if progress:
                progress(SCORING, done, len(jobs))


def parted(evidence: Evidence) -> list[Parted]:
    """Cases on which an arm parts from the target and nobody has said yet who is right.

    Sampled cases count only where both arms claim to draw the same tokens.
    """
    done = {(found.key, found.arm) for found in evidence.arbitrations}
    claimed = identity_is_claimed(evidence)
    return [
        Parted(pair)
        for arm in (CANDIDATE, CONTROL, SHUFFLED, REPEAT)
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
    for key, asked in evidence.asked.items():
        place = places.get(asked.workload, 0)
        places[asked.workload] = place + 1
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


class Scorer:
    """The reference and what it is asked about."""

    def __init__(self, evidence: Evidence) -> None:
        """Load the reference of a run."""
        from equivcheck.pairs.load import load_tokenizer
        from equivcheck.scoring.reference import Reference

        header = evidence.header
        self.evidence = evidence
        self.tokenizer: Any = load_tokenizer(header.settings.setup.pair)
        self.reference: Reference = Reference(header.settings, eos_token_ids=header.eos_token_ids)
        self.scores = lru_cache(maxsize=OUTPUTS_KEPT)(self.score_output)

    def score_output(self, key: str, tokens: tuple[int, ...]) -> OutputScores:
        """Score one output of a case."""
        return self.reference.score(self.request(key), tokens)

    def request(self, key: str) -> Request:
        """What was asked."""
        return self.evidence.asked[key].request

    def rescore(self, job: Sampled) -> Rescored:
        """Score an output in full."""
        tokens = self.evidence.captured[job.arm][job.key].generation.token_ids
        scores = self.scores(job.key, tokens)
        return Rescored(
            key=job.key,
            arm=job.arm,
            reference=self.reference.name,
            logprobs=scores.logprobs,
            gaps=scores.gaps,
        )

    def arbitrate(self, pair: Pair) -> Arbitration:
        """Say what the reference holds of both arms' tokens where they part."""
        from equivcheck.scoring.reference import written

        assert pair.position is not None
        request = self.request(pair.key)
        ours, theirs = pair.target.token_ids, pair.other.token_ids
        shared = ours[: pair.position]
        law = self.reference.next_token(request, shared)
        tokens = [row[pair.position] for row in (ours, theirs) if pair.position < len(row)]
        best_logprob, best = law.logprobs.max(dim=-1)

        def logprob_in(output: Sequence[int]) -> float | None:
            at = pair.position
            assert at is not None
            return written(float(law.logprobs[output[at]])) if at < len(output) else None

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
            magnitude=max((abs(float(law.raw[token])) for token in tokens), default=None),
            target_gaps=self.scores(pair.key, ours).gaps,
            arm_gaps=self.scores(pair.key, theirs).gaps,
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text for people, special tokens included."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=False)
        return text
