"""The records of a run: the nouns of the file format. Reading and writing is `records_file.py`.

A run's `records.jsonl` is: one `Header`, then `RequestRecord`, `GenerationRecord`, `SampleRecord`
and other lines of evidence as they come, then `Finding`s and one `VerdictRecord`. Without that last
line a run is unfinished: resumable, never a pass. Everything a check needs is in here, so judging
needs no model, tokenizer or device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.generation import Generation, Request
from equivcheck.core.refusals import LeftOut as LeftOut
from equivcheck.core.service_schedule import Schedule
from equivcheck.core.settings import Order, Settings
from equivcheck.records.baseline_record import BaselineRecord
from equivcheck.records.draw_records import Preflight as Preflight
from equivcheck.records.draw_records import SampleRecord as SampleRecord
from equivcheck.records.draw_records import ScoresRecord as ScoresRecord
from equivcheck.records.gaps import Gap as Gap
from equivcheck.records.gaps import TextGaps as TextGaps
from equivcheck.records.grade_record import Grade as Grade
from equivcheck.records.grade_record import GradeResult as GradeResult
from equivcheck.records.served_record import ServedRun as ServedRun
from equivcheck.records.shards import Part, Shard

if TYPE_CHECKING:
    from equivcheck.records.score_table import ScoreTable

SCHEMA = 1

TARGET = "target"
"""Arm: the plain target decoder, the reference."""
CANDIDATE = "candidate"
"""Arm: the decoder under test."""
CONTROL = "control"
"""Arm: plain target decoding again with other kernel shapes: what mere arithmetic does."""
REPEAT = "repeat"
"""Arm: the candidate once more, same order, new engine: must answer the same."""
SHUFFLED = "shuffled"
"""Arm: the candidate with other neighbours in the batch and other requests before."""

SERVED = "served"
"""Arm: the candidate's engine as a server, over the suites whose requests come and go at times."""
SERVED_TARGET = "served-target"
"""Arm: the target's engine, likewise."""
SERVES = {CANDIDATE: SERVED, TARGET: SERVED_TARGET}
"""Arm that answers alone, to the arm in which its engine serves."""

SAMPLED = "sampled"
"""Arm: the candidate's engine, sampling each case many times, to test its distribution."""
SAMPLED_TARGET = "sampled-target"
"""Arm: the target drawing the same, where tokens are all that there is to judge by."""
DRAWING = frozenset({SAMPLED, SAMPLED_TARGET})
"""Arms whose planned cases are drawn again and again, and not answered once."""
SCORER = "scorer"
"""Arm: a server that scores what others answer."""

REPLICA = "replica-"
"""Arm, with a number from 1 behind it: one server of a candidate that is several."""

Item = TypeVar("Item")


class SuiteRef(Struct, frozen=True, kw_only=True):
    """Which suite file was run."""

    path: str
    workload: str
    digest: str
    cases: int
    """Cases in the file; the selected ones are those with an `RequestRecord` line."""


class Header(Struct, frozen=True, kw_only=True, tag="header", omit_defaults=True):
    """The manifest: everything needed to repeat and to compare the run."""

    schema: int
    run: str
    """Run id: names the folder."""
    created: str
    """UTC, ISO 8601."""
    settings: Settings
    suites: tuple[SuiteRef, ...]
    arms: dict[str, Capabilities]
    planned: dict[str, tuple[str, ...]]
    """Arm name to the case keys it has to answer; what is missing from them is never a pass."""
    eos_token_ids: tuple[int, ...]
    vocab_size: int
    environment: dict[str, str]
    models: dict[str, str] = {}
    """Role (target, draft, tokenizer) to what was loaded, with its sha256 where it is a file."""
    git_commit: str | None = None
    git_dirty: bool | None = None
    draw_seed: int = 0
    """Seeds the draws of the arm `sampled`; fresh in the profile `release`."""
    order: Order = "in turn"
    """Whether arms answered in turn, all open, or one after the other, one open at a time."""
    threads_timed: bool = False
    """Whether ``settings.setup.threads`` was chosen by timing, and not set."""
    left_out: tuple[LeftOut, ...] = ()
    """Selected cases without an `RequestRecord` line; the verdict rests on the others."""
    windows: dict[str, int] = {}
    """Role (target, draft) to the tokens that its sliding window spans, where it has one."""
    shard: Shard | None = None
    """Which part of a run this is, where it was shared out; such a part never passes alone."""
    schedules: tuple[Schedule, ...] = ()
    """Schedule of each suite whose requests have times, all of them; engines that serve are asked
    so too."""
    merged: tuple[Part, ...] = ()
    """The shards that were merged into this run, in order."""


class ArmOpened(Struct, frozen=True, kw_only=True, tag="opened", omit_defaults=True):
    """What an arm's engine says of itself, where it was opened after the header was written."""

    arm: str
    capabilities: Capabilities


class RequestRecord(Struct, frozen=True, kw_only=True, tag="asked", omit_defaults=True):
    """One request, as every arm got it, but for later turns of a session.

    In a file the prompt of a later turn has no answers in it. Read back, it is the prompt that
    the target got, and answers to another one are in `Evidence.other_history`.
    """

    request: Request
    workload: str
    path: str
    line: int
    """Where the case stands in its suite."""
    session: str | None = None
    before: tuple[str, ...] = ()
    """Keys of the session's earlier turns, in order; empty: its prompt hangs on no answer."""
    wave: int = 0
    """Cases of a wave are asked when all of the waves before it have been answered."""


class GenerationRecord(Struct, frozen=True, kw_only=True, tag="generation", omit_defaults=True):
    """One arm's answer to one request."""

    arm: str
    generation: Generation
    text: str
    """Detokenised, for people; never compared."""
    stop_completed_at: int | None = None
    """Token, from 0, at which one of the request's stop strings is complete; None: at no token."""
    stop_began_at: int | None = None
    """The same of the token in which that string begins; None: none does, or not looked for."""
    prompt_ids: tuple[int, ...] | None = None
    """Prompt of a later turn of a session, with this arm's own answers; None: as asked."""


class Failed(Struct, frozen=True, kw_only=True, tag="failure"):
    """One request that an arm's engine broke on or refused. An answer that came later counts."""

    arm: str
    key: str
    message: str
    """What the engine said, one line; somebody else's words, to be escaped where shown."""


class Arbitration(Struct, frozen=True, kw_only=True, tag="arbitration", omit_defaults=True):
    """What an independent high-precision pass says where an arm parts from the target."""

    key: str
    arm: str
    """The arm that was compared with `target`."""
    position: int
    """First differing output index, 0-based."""
    reference: str
    """Who arbitrated and in which precision, e.g. ``transformers fp32``."""
    context: str
    """Decoded end of the shared prefix."""
    target_piece: str
    """Decoded token of the target arm, empty where it had already stopped."""
    arm_piece: str
    target_logprob: float | None = None
    """Reference log-probability of the target arm's token given the shared prefix."""
    arm_logprob: float | None = None
    best: int = 0
    best_logprob: float = 0.0
    magnitude: float | None = None
    """The larger absolute value of the two tokens' raw reference logits at `position`."""
    target_gaps: tuple[Gap, ...] = ()
    """Teacher-forced gaps of the target arm's whole output, prefix included."""
    arm_gaps: tuple[Gap, ...] = ()
    text: TextGaps | None = None
    """Where the answers are text alone, so that their tokens are not known."""


class Rescored(Struct, frozen=True, kw_only=True, tag="rescored", omit_defaults=True):
    """An independent teacher-forced pass over one arm's output, to hold its scores against."""

    key: str
    arm: str
    reference: str
    logprobs: tuple[float, ...]
    """Reference log-probability of each emitted token, same convention as `TokenScore`."""
    gaps: tuple[Gap, ...]


class VerdictRecord(Struct, frozen=True, kw_only=True, tag="verdict", omit_defaults=True):
    """The last line of a finished run."""

    outcome: Outcome
    headline: str
    counts: dict[str, int]
    """Outcome to number of findings."""


class Evidence(Struct, frozen=True, kw_only=True):
    """A run as read back: what checks are given."""

    header: Header
    unsealed: bool = False
    """Whether its lines have no seals: written before there were any, or taken off."""
    asked: dict[str, RequestRecord]
    """By case key, in the order of the suites."""
    captured: dict[str, dict[str, GenerationRecord]]
    """Arm, then case key."""
    other_history: dict[str, dict[str, GenerationRecord]] = {}
    """Arm, then case key: answers to later turns of a session in which the arm had answered an
    earlier turn otherwise than the target, so that its prompt was another one."""
    arbitrations: tuple[Arbitration, ...] = ()
    rescored: tuple[Rescored, ...] = ()
    failures: tuple[Failed, ...] = ()
    served: tuple[ServedRun, ...] = ()
    """Served runs of `SERVED` and `SERVED_TARGET`, by suite; a shard that was merged has its
    own."""
    grades: tuple[Grade, ...] = ()
    """At most one for each answer."""
    against: BaselineRecord | None = None
    """The baseline that the run is compared with."""
    preflight: Preflight | None = None
    draws: dict[str, dict[str, Generation]] = {}
    """Arm (`SAMPLED`, `SAMPLED_TARGET`), then ``workload/case#round``, in the order of asking."""
    stops_of_draws: dict[str, dict[str, int | None]] = {}
    """Arm, then key of each sample searched for stop strings: `SampleRecord.stop_completed_at`."""
    scored: tuple[ScoresRecord, ...] = ()
    """Each time that scores were written; the file is one of these."""
    scores: ScoreTable | None = None
    """Scores of the draws of `SAMPLED`, from the file beside the records."""
    findings: tuple[Finding, ...] = ()
    sealed: VerdictRecord | None = None

    def answers(self, arm: str) -> dict[str, GenerationRecord]:
        """All that an arm answered, whichever prompt it got."""
        return {**self.captured.get(arm, {}), **self.other_history.get(arm, {})}


Record = (
    Header
    | ArmOpened
    | RequestRecord
    | GenerationRecord
    | Failed
    | Arbitration
    | Rescored
    | Grade
    | BaselineRecord
    | Preflight
    | ServedRun
    | SampleRecord
    | ScoresRecord
    | Finding
    | VerdictRecord
)


def by_workload(
    evidence: Evidence, items: Iterable[Item], *, key: Callable[[Item], str]
) -> dict[str, list[Item]]:
    """Gather items by their case's workload, workloads in the order of the suites."""
    gathered: dict[str, list[Item]] = {asked.workload: [] for asked in evidence.asked.values()}
    for item in items:
        gathered[evidence.asked[key(item)].workload].append(item)
    return {workload: found for workload, found in gathered.items() if found}
