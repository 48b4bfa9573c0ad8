"""Run one fault that is served, and compare with what each request is answered alone.

The sound plain decoder answers each request alone, and the sound speculative one serves the same
schedules, once a seed; both are kept. Outcomes of steps come one step late, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from equivcheck.capture.serve import answers_alone, serve_schedule
from equivcheck.checks.schedules import differences, judge
from equivcheck.checks.verdict import Verdict
from equivcheck.core.atomic_write import replace
from equivcheck.core.findings import Finding, Outcome, worst
from equivcheck.core.generation import Generation
from equivcheck.core.service_schedule import Served, unmet
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine
from equivcheck.fault_matrix.degradation import Degradation, degradation
from equivcheck.fault_matrix.job import TrialJob
from equivcheck.fault_matrix.result import Result, completed
from equivcheck.fault_matrix.rigs import Rig
from equivcheck.fault_matrix.service_schedules import Service
from equivcheck.report.blocks import block_lines

PLAIN = "native:gamma=0"


class SoundAnswers(Struct, frozen=True, kw_only=True):
    """What sound decoders made of one schedule."""

    digest: str
    """Digest of schedule and code."""
    alone: dict[str, Generation]
    served: dict[str, Generation]


def serve_sound(job: TrialJob, folder: Path) -> None:
    """Answer each request of a job's schedules alone and served, unless that is kept already."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [each for each in job.services if kept(job, each, folder) is None]
    if not waiting:
        return
    plain, drafting = opened(PLAIN, job.rig), opened(job.rig.settings.candidate, job.rig)
    for each in waiting:
        answers = SoundAnswers(
            digest=job.code + each.digest,
            alone=answers_alone(plain, list(each.requests.values())),
            served=serve_schedule(drafting, each.schedule, each.requests).answers,
        )
        replace(place(each, folder), msgspec.json.encode(answers))
    plain.close()
    drafting.close()


def place(service: Service, folder: Path) -> Path:
    """Where the sound answers to a schedule are kept."""
    return folder / f"{service.schedule.name}.json"


def kept(job: TrialJob, service: Service, folder: Path) -> SoundAnswers | None:
    """The sound answers to a schedule; None where there are none of this code."""
    path = place(service, folder)
    if not path.is_file():
        return None
    found = msgspec.json.decode(path.read_bytes(), type=SoundAnswers)
    return found if found.digest == job.code + service.digest else None


def opened(name: str, rig: Rig) -> NativeEngine:
    """A native engine whose outcomes come one step late."""
    engine = load_engine(name, rig.settings.setup)
    assert isinstance(engine, NativeEngine)
    engine.decoder.runner.lag = 1
    return engine


def judged_served(job: TrialJob, blank: Result, out: Path) -> Result:
    """Serve, judge, compare; the result with all that was found."""
    entry, folder = job.entry, job.sound_folder(out)
    engine = opened(entry.candidate, job.rig)
    findings: list[Finding] = []
    degradations: list[Degradation] = []
    missing: list[str] = []
    detection: tuple[int, int] | None = None
    answered = 0
    for each in job.services:
        sound = kept(job, each, folder)
        assert sound is not None
        served = serve_schedule(engine, each.schedule, each.requests)
        findings += (found := judge(each.schedule, served, alone=sound.alone, bits=True))
        name = each.schedule.name
        missing += [f"{name}: {demand}" for demand in unmet(each.schedule, served)]
        if found[0].outcome is Outcome.FAIL and name in entry.asked and detection is None:
            detection = upto(each, served, sound.alone, before=answered)
        answered += told(served)
        if entry.caught_by == "acceptance":
            degradations += compared(served, sound, name=name)
    engine.close()
    outcome = worst([each.outcome for each in findings])
    verdict = Verdict(outcome=outcome, headline=headline(findings), findings=tuple(findings))
    failed = next((each for each in findings if each.outcome is not Outcome.PASS), None)
    return completed(
        blank,
        verdict,
        degradations=degradations,
        missing=missing,
        detected=detection or (None, None),
        answered=answered,
        message=() if failed is None else tuple(block_lines(failed)),
    )


def headline(findings: Sequence[Finding]) -> str:
    """The first that is not a pass, or how many are."""
    failed = [each for each in findings if each.outcome is not Outcome.PASS]
    return failed[0].headline if failed else f"as alone under {len(findings)} schedules"


def told(served: Served) -> int:
    """Tokens of all requests."""
    return sum(len(each.tokens) for each in served.events)


def upto(
    service: Service, served: Served, alone: Mapping[str, Generation], *, before: int
) -> tuple[int, int]:
    """Requests that were there, and tokens that were told, by the step of the first difference."""
    found = differences(service.schedule, served, alone=alone, bits=True)
    step = min(each.step for each in found)
    events = [each for each in served.events if each.step <= step]
    keys = {each.key for each in events}
    return len(keys), before + sum(len(each.tokens) for each in events)


def compared(served: Served, sound: SoundAnswers, *, name: str) -> list[Degradation]:
    """Acceptance under a schedule against that of the sound decoder under it."""
    found = degradation(served.answers, sound.served, workload=name)
    return [] if found is None else [found]
