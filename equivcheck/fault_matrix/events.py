"""What must have happened in a schedule. What has not was not tested, and a pass would be vacuous.

Each event is a question to the evidence of one workload. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from equivcheck.core.generation import FinishReason, Generation, Request
from equivcheck.fault_matrix.openers import without_openers
from equivcheck.fault_matrix.schedules import CONTEXT, ROWS
from equivcheck.records.divergence import join
from equivcheck.records.records import CANDIDATE, SHUFFLED, Evidence

PAGE = 16
CHUNK = 64


class Seen(NamedTuple):
    """One workload's requests and the candidate's answers, in the order of asking."""

    asked: Sequence[tuple[Request, Generation]]
    gamma: int
    shuffled: int
    """Requests that were put to the engine in one go, in the arm `shuffled`."""
    parted: int = 0
    """Requests on which the candidate's tokens are not the target's."""

    @property
    def answers(self) -> list[Generation]:
        """Without the requests."""
        return [answer for _, answer in self.asked]


Event = tuple[str, Callable[[Seen], bool]]


def end_slots(seen: Seen) -> set[int]:
    """Slots of their step in which the end of text was emitted."""
    return {
        answer.steps[-1].emitted - 1 for answer in seen.answers if answer.finish_reason == "eos"
    }


def cut_short(seen: Seen, reason: FinishReason, *, by_text: bool) -> bool:
    """Whether an ending, by stop string or by id, left accepted drafts behind it."""
    return any(
        answer.finish_reason == reason
        and bool(request.stop) is by_text
        and answer.steps[-1].emitted <= answer.steps[-1].accepted
        for request, answer in seen.asked
    )


def crosses(seen: Seen, border: int) -> bool:
    """Whether a block of several tokens has crossed a multiple of `border`."""
    for request, answer in seen.asked:
        place = len(request.prompt_ids)
        for step in answer.steps:
            if step.emitted > 1 and place // border != (place + step.emitted - 1) // border:
                return True
            place += step.emitted
    return False


def batches(seen: Seen) -> Iterator[Sequence[tuple[Request, Generation]]]:
    """The requests that shared a batch."""
    for start in range(0, len(seen.asked), ROWS):
        yield seen.asked[start : start + ROWS]


def steps(seen: Seen, least: int) -> bool:
    """Whether a step accepted so many drafts."""
    return any(step.accepted >= least for answer in seen.answers for step in answer.steps)


def mixes(seen: Seen) -> bool:
    """Whether greedy and sampled requests shared a batch."""
    return any(len({ask.sampling.greedy for ask, _ in batch}) == 2 for batch in batches(seen))


def laws_differ(seen: Seen) -> bool:
    """Whether different temperatures and cuts shared a batch."""
    return any(len({str(ask.sampling) for ask, _ in batch}) > 2 for batch in batches(seen))


def shrinks(seen: Seen) -> bool:
    """Whether some batch lost its rows one after another."""
    return any(len({len(found.steps) for _, found in batch}) > ROWS // 2 for batch in batches(seen))


def partly_accepted(seen: Seen) -> bool:
    """Whether a step accepted some drafts and rejected one, where there can be two."""
    return seen.gamma < 2 or any(
        0 < step.accepted < step.drafted for answer in seen.answers for step in answer.steps
    )


def empty_after_accepted(seen: Seen) -> bool:
    """Whether a step without drafts followed one that accepted some."""
    return any(
        before.accepted and not after.drafted
        for answer in seen.answers
        for before, after in pairwise(answer.steps)
    )


def tied(seen: Seen) -> bool:
    """Whether a token was emitted that tied exactly with its rival."""
    return any(
        score.logprob == score.rival_logprob
        for answer in seen.answers
        for score in answer.scores or ()
    )


def limits_reached(seen: Seen) -> bool:
    """Whether requests ended at every limit from 1 to a whole block and one more."""
    reached = {len(a.token_ids) for a in seen.answers if a.finish_reason == "length"}
    return set(range(1, min(seen.gamma + 2, ROWS) + 1)) <= reached


EVENTS: dict[str, tuple[Event, ...]] = {
    "plain": (("drafts partly accepted", partly_accepted),),
    "repetitive": (("six drafts accepted at once", lambda seen: steps(seen, min(6, seen.gamma))),),
    "long": (("a block across position 64", lambda seen: crosses(seen, CHUNK)),),
    "drafts": (("a block across position 64", lambda seen: crosses(seen, CHUNK)),),
    "noisy": (("a token that noise has flipped", lambda seen: seen.parted > 0),),
    "sampled": (("different laws in one batch", laws_differ),),
    "mixed": (
        ("greedy and sampled rows in one batch", mixes),
        ("a batch that shrinks", shrinks),
    ),
    "penalised": (("drafts partly accepted", partly_accepted),),
    "endings": (
        (
            "the end of text in every slot",
            lambda seen: set(range(min(seen.gamma, ROWS - 1) + 1)) <= end_slots(seen),
        ),
        ("an end of text inside a block", lambda seen: cut_short(seen, "eos", by_text=False)),
        ("a stop id inside a block", lambda seen: cut_short(seen, "stop", by_text=False)),
        ("a stop string inside a block", lambda seen: cut_short(seen, "stop", by_text=True)),
        (
            "a stop at the limit",
            lambda seen: any(
                answer.finish_reason == "stop" and len(answer.token_ids) == ask.max_new_tokens
                for ask, answer in seen.asked
            ),
        ),
    ),
    "budgets": (("every limit from 1 to a block and one more", limits_reached),),
    "borders": (
        ("a block across a page", lambda seen: crosses(seen, PAGE)),
        ("a block across a prefill chunk", lambda seen: crosses(seen, CHUNK)),
        (
            "a request that fills the context",
            lambda seen: any(
                len(ask.prompt_ids) + len(answer.token_ids) == CONTEXT for ask, answer in seen.asked
            ),
        ),
    ),
    "repeats": (
        (
            "the same prompt again",
            lambda seen: len({ask.prompt_ids for ask, _ in seen.asked}) < len(seen.asked) / 2,
        ),
        ("a row that served before", lambda seen: seen.shuffled > ROWS),
    ),
    "ties": (
        ("an exact tie", tied),
        ("greedy and sampled rows in one batch", mixes),
    ),
    "bans": (
        (
            "different bans in one batch",
            lambda seen: len({ask.sampling.banned_tokens for ask, _ in seen.asked}) > 1,
        ),
    ),
    "recurrent": (("drafts partly accepted", partly_accepted),),
    "law": (("different laws in one batch", laws_differ),),
}
"""Schedule to what has to have occurred in it."""
LOOKUP_EVENTS: tuple[Event, ...] = (("no drafts after accepted ones", empty_after_accepted),)
"""Of a drafter that does not always draft, in schedules of greedy text."""


def missing_events(evidence: Evidence) -> list[str]:
    """Events that should have occurred and have not, ``schedule: event``."""
    told = evidence.header.arms[CANDIDATE]
    missing = []
    for workload in dict.fromkeys(asked.workload for asked in evidence.asked.values()):
        seen = look(evidence, workload)
        wanted = EVENTS.get(workload, ())
        if told.drafter == "lookup" and workload in ("plain", "repetitive", "recurrent"):
            wanted = (*wanted, *LOOKUP_EVENTS)
        missing += [f"{workload}: {name}" for name, occurred in wanted if not occurred(seen)]
    return missing


def look(evidence: Evidence, workload: str) -> Seen:
    """What was asked of and answered by the candidate in one workload."""
    captured = evidence.captured.get(CANDIDATE, {})
    return Seen(
        asked=[
            (evidence.asked[key].request, captured[key].generation)
            for key in without_openers(evidence.asked)
            if evidence.asked[key].workload == workload and key in captured
        ],
        gamma=evidence.header.arms[CANDIDATE].num_speculative_tokens,
        shuffled=len(evidence.captured.get(SHUFFLED, {})),
        parted=sum(pair.token_differs for pair in join(evidence, arm=CANDIDATE)),
    )
