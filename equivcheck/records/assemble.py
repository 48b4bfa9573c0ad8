"""Put the lines of a records file together as the `Evidence` that checks are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import UNSET
from msgspec.structs import replace

from equivcheck.core.bounds import LONGEST_RUN_ID, RequestLimits, out_of_bounds, unbounded_drafts
from equivcheck.core.errors import RecordsError, unknown_name
from equivcheck.core.escape import head
from equivcheck.core.findings import Finding
from equivcheck.core.generation import Generation
from equivcheck.records.baseline_record import BaselineRecord
from equivcheck.records.journal import ResumePoint
from equivcheck.records.records import (
    DRAWING,
    SCORER,
    TARGET,
    Arbitration,
    ArmOpened,
    Evidence,
    Failed,
    GenerationRecord,
    Grade,
    Header,
    Preflight,
    Record,
    RequestRecord,
    Rescored,
    SampleRecord,
    ScoresRecord,
    ServedRun,
    VerdictRecord,
)
from equivcheck.records.sample_keys import in_order, parse_draw


class RecordLine(NamedTuple):
    """One line of a records file."""

    number: int
    record: Record
    end: ResumePoint


def assemble(path: Path, lines: Iterable[RecordLine], *, compact: bool = False) -> Evidence:
    """Sort the records by what they are about.

    Args:
        path: Where they are from.
        lines: Each is let go of before the next is taken.
        compact: Whether answers are packed, as `core.packed` says.

    Raises:
        RecordsError: the lines are no run's: out of order, doubled, about nothing asked, or with
            what no decoder can mean.
    """
    lines = iter(lines)
    first = next(lines, None)
    if first is None or not isinstance(header := first.record, Header):
        raise RecordsError(f"{path}: does not start with a run's header")
    fitting = _packing if compact else _as_it_is
    _refuse_unbounded(header, where=f"{path}:1")
    asked: dict[str, RequestRecord] = {}
    captured: dict[str, dict[str, GenerationRecord]] = {
        arm: {} for arm in header.arms if arm not in DRAWING and arm != SCORER
    }
    arbitrations: list[Arbitration] = []
    rescored: list[Rescored] = []
    failures: list[Failed] = []
    served: list[ServedRun] = []
    grades: dict[tuple[str, str], Grade] = {}
    against: BaselineRecord | None = None
    preflight: Preflight | None = None
    draws: dict[str, dict[str, Generation]] = {}
    stops_of_draws: dict[str, dict[str, int | None]] = {}
    scored: list[ScoresRecord] = []
    findings: list[Finding] = []
    sealed: VerdictRecord | None = None
    for number, record, _ in lines:
        where = f"{path}:{number}"
        match record:
            case Header():
                raise RecordsError(f"{where}: a second header")
            case VerdictRecord():
                if sealed:
                    raise RecordsError(f"{where}: a second verdict")
                sealed = record
            case Finding():
                findings.append(record)
            case _ if findings or sealed:
                raise RecordsError(f"{where}: evidence after the findings; was the file joined?")
            case ArmOpened():
                header = _with_arm(header, record, where=where)
            case RequestRecord():
                key = record.request.key
                if key in asked:
                    raise RecordsError(f"{where}: {key} is asked a second time")
                asked[key] = record
            case GenerationRecord():
                _add_answer(record, captured=captured, asked=asked, where=where, fitting=fitting)
            case Failed():
                failures.append(record)
            case ServedRun():
                if lost := {each.key for each in record.events} - asked.keys():
                    told = f"{record.arm} served {min(lost)!r}"
                    raise RecordsError(f"{where}: {told}, which was never asked")
                served.append(record)
            case Arbitration():
                arbitrations.append(record)
            case Rescored():
                rescored.append(record)
            case Grade():
                if record.key not in captured.get(record.arm, {}):
                    answer = f"{record.arm}'s answer to {record.key!r}"
                    raise RecordsError(f"{where}: grades {answer}, which it has not given")
                grades[record.key, record.arm] = record
            case BaselineRecord():
                against = record
            case Preflight():
                preflight = record
            case SampleRecord():
                _add_draw(
                    record, draws=draws, asked=asked, header=header, where=where, fitting=fitting
                )
                if record.stop_completed_at is not UNSET:
                    found = stops_of_draws.setdefault(record.arm, {})
                    found[record.generation.key] = record.stop_completed_at
            case ScoresRecord():
                scored.append(record)
    asked, other_history = with_own_prompts(asked, captured)
    return Evidence(
        header=header,
        unsealed=first.end.seal is None,
        asked=asked,
        captured=captured,
        other_history=other_history,
        arbitrations=tuple(arbitrations),
        rescored=tuple(rescored),
        failures=tuple(failures),
        served=tuple(served),
        grades=tuple(grades.values()),
        against=against,
        preflight=preflight,
        draws={arm: _in_order(drawn, header.planned[arm]) for arm, drawn in draws.items()},
        stops_of_draws=stops_of_draws,
        scored=tuple(scored),
        findings=tuple(findings),
        sealed=sealed,
    )


def with_own_prompts(
    asked: dict[str, RequestRecord], captured: dict[str, dict[str, GenerationRecord]]
) -> tuple[dict[str, RequestRecord], dict[str, dict[str, GenerationRecord]]]:
    """Give later turns the prompt that they had; take answers to another one out of `captured`.

    The target's prompt counts, or where the target has not answered, that of the first arm that
    has.

    Returns:
        What was asked, and the answers that were taken out, by arm and key.
    """
    arms = sorted(captured, key=lambda arm: arm != TARGET)
    told: dict[str, tuple[int, ...]] = {}
    for arm in arms:
        for key, answer in captured[arm].items():
            if answer.prompt_ids is not None:
                told.setdefault(key, answer.prompt_ids)
    other_history: dict[str, dict[str, GenerationRecord]] = {}
    for arm in arms:
        for key in [key for key in told if key in captured[arm]]:
            if captured[arm][key].prompt_ids != told[key]:
                other_history.setdefault(arm, {})[key] = captured[arm].pop(key)
    asked = {
        key: replace(each, request=replace(each.request, prompt_ids=told[key]))
        if key in told
        else each
        for key, each in asked.items()
    }
    return asked, other_history


def _add_answer(
    record: GenerationRecord,
    *,
    captured: dict[str, dict[str, GenerationRecord]],
    asked: dict[str, RequestRecord],
    where: str,
    fitting: Fitting,
) -> None:
    key = record.generation.key
    if record.arm not in captured:
        raise RecordsError(f"{where}: arm: {unknown_name('arm', record.arm, captured)}")
    if key not in asked:
        raise RecordsError(f"{where}: {record.arm} answers {key!r}, which was never asked")
    if key in captured[record.arm]:
        raise RecordsError(f"{where}: {record.arm} answers {key!r} a second time")
    prompt = record.prompt_ids
    if (prompt is not None) != bool(asked[key].before):
        told = "with no prompt of its own" if prompt is None else "with a prompt of its own"
        raise RecordsError(f"{where}: {record.arm} answers {key!r} {told}")
    length = len(asked[key].request.prompt_ids if prompt is None else prompt)
    limits = RequestLimits(tokens=asked[key].request.max_new_tokens, prompt=length)
    generation = fitting(record, limits=limits, where=where)
    captured[record.arm][key] = replace(record, generation=generation)


def _add_draw(
    record: SampleRecord,
    *,
    draws: dict[str, dict[str, Generation]],
    asked: dict[str, RequestRecord],
    header: Header,
    where: str,
    fitting: Fitting,
) -> None:
    key = record.generation.key
    planned = {arm: cases for arm, cases in header.planned.items() if arm in DRAWING}
    if record.arm not in planned:
        raise RecordsError(f"{where}: arm: {unknown_name('arm', record.arm, planned)}")
    try:
        case = parse_draw(key).case
    except ValueError as error:
        raise RecordsError(f"{where}: {error}") from None
    if case not in planned[record.arm] or case not in asked:
        raise RecordsError(f"{where}: {record.arm} draws {key!r}, which was never asked")
    of_arm = draws.setdefault(record.arm, {})
    if key in of_arm:
        raise RecordsError(f"{where}: {record.arm} draws {key!r} a second time")
    # The prompt of a later turn is known when all is read.
    own = asked[case].before
    prompt = None if own else len(asked[case].request.prompt_ids)
    limits = RequestLimits(tokens=asked[case].request.max_new_tokens, prompt=prompt)
    of_arm[key] = fitting(record, limits=limits, where=where)


def _with_arm(header: Header, opened: ArmOpened, *, where: str) -> Header:
    if opened.arm not in header.arms:
        raise RecordsError(f"{where}: arm: {unknown_name('arm', opened.arm, header.arms)}")
    told = replace(header, arms=header.arms | {opened.arm: opened.capabilities})
    _refuse_unbounded(told, where=where)
    return told


def _refuse_unbounded(header: Header, *, where: str) -> None:
    if len(header.run) > LONGEST_RUN_ID:
        raise RecordsError(
            f"{where}: run: an id of {len(header.run)} characters, at most {LONGEST_RUN_ID}"
        )
    for arm, told in header.arms.items():
        if wrong := unbounded_drafts(told.num_speculative_tokens):
            raise RecordsError(f"{where}: arms.{head(arm, cells=40)}.{wrong}")


class Fitting(Protocol):
    """Takes an answer in, or refuses its line as one that no decoder can mean."""

    def __call__(
        self, record: GenerationRecord | SampleRecord, *, limits: RequestLimits, where: str
    ) -> Generation:
        """What is kept of the answer."""


def _as_it_is(
    record: GenerationRecord | SampleRecord, *, limits: RequestLimits, where: str
) -> Generation:
    if wrong := out_of_bounds(record.generation, limits):
        key = head(record.generation.key, cells=120)
        raise RecordsError(f"{where}: {record.arm}'s answer to {key!r}: {wrong}")
    return record.generation


def _packing(
    record: GenerationRecord | SampleRecord, *, limits: RequestLimits, where: str
) -> Generation:
    # Loads numpy, which readers that pack nothing do without.
    from equivcheck.core.packed import packed
    from equivcheck.core.packed_bounds import within_bounds

    try:
        small = packed(record.generation)
    except OverflowError:
        return _as_it_is(record, limits=limits, where=where)
    if not within_bounds(small, limits):
        _as_it_is(record, limits=limits, where=where)
    return small


def _in_order(drawn: dict[str, Generation], cases: Sequence[str]) -> dict[str, Generation]:
    """Draws as they were asked for; they come in the order in which they were finished."""
    return {key: drawn[key] for key in in_order(drawn, cases)}
