"""Gate: an answer does not depend on who else comes, is given up, or was there before.

For each suite whose requests have times: what an arm's engine answers while it serves has to be
what it answers to the same requests as any others are asked. Under an identity contract any
difference is a failure, and bits count; without one, a whole greedy answer may part at a near tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from equivcheck.checks.near_ties import Weighed, no_yardstick, untold, weigh
from equivcheck.checks.schedules import (
    CHECK,
    ScheduleDifference,
    differences,
    happened_words,
    history,
)
from equivcheck.checks.subjects import RUN, command, plural
from equivcheck.core.engine import Capabilities
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason, worst
from equivcheck.core.service_schedule import Schedule, Served, tokens_of, unmet
from equivcheck.records.divergence import join
from equivcheck.records.records import CANDIDATE, SERVES, Evidence, ServedRun

SAMPLED = "sampled: without an identity contract only a test of their distribution can judge them"
GIVEN_UP = "given up, and without a contract nobody can say whether a near tie made them part"
MISSING = "not answered, or behind other answers"


def check(evidence: Evidence) -> list[Finding]:
    """One finding an answer that differs, then one a suite and arm; or that an arm cannot serve.

    Where all pass, the first says what the candidate was put through.
    """
    found: list[Finding] = []
    for arm, served in SERVES.items():
        if not evidence.header.schedules or arm not in evidence.header.arms:
            continue
        if served in evidence.header.planned:
            found += _of_arm(evidence, arm)
        else:
            found.append(_unserved(evidence, arm))
    if found and all(each.outcome is Outcome.PASS for each in found):
        return [*_total(evidence), *found]
    return found


def unserved_words(evidence: Evidence) -> str:
    """``without the times of pressure, which http cannot keep``; empty: they were kept."""
    header = evidence.header
    if not header.schedules or CANDIDATE not in header.arms:
        return ""
    if SERVES[CANDIDATE] in header.planned:
        return ""
    names = ", ".join(visible(each.name) for each in header.schedules)
    return f"without the times of {names}, which {_engine(header.arms[CANDIDATE])} cannot keep"


def _engine(told: Capabilities) -> str:
    return visible(told.engine.partition(":")[0])


def _unserved(evidence: Evidence, arm: str) -> Finding:
    """The requests were asked, and nothing that needs their times was tried: no doubt on them."""
    schedules = evidence.header.schedules
    requests = sum(len(each.arrivals) for each in schedules)
    names = ", ".join(visible(each.name) for each in schedules)
    return Finding(
        check=CHECK,
        subject=RUN,
        outcome=Outcome.PASS,
        reason=Reason.LEFT_OUT,
        headline=f"{arm}: {plural(requests, 'request')} asked without their times, which "
        f"{_engine(evidence.header.arms[arm])} cannot keep",
        details=(f"suites with times: {names}", *_not_tried(schedules)),
        n=requests,
    )


def _not_tried(schedules: Sequence[Schedule]) -> Iterator[str]:
    demands = dict.fromkeys(demand for each in schedules for demand in each.demands)
    if demands:
        yield f"not exercised: {', '.join(demands)}"


def _of_arm(evidence: Evidence, arm: str) -> Iterator[Finding]:
    for schedule in evidence.header.schedules:
        runs = [
            each
            for each in evidence.served
            if each.arm == SERVES[arm] and each.schedule.name == schedule.name
        ]
        if runs:
            found = [_Served(evidence, each, arm=arm) for each in runs]
            failed = [finding for each in found for finding in each.findings()]
            yield from failed
            yield _summary(schedule.name, found, failed)
        elif any(each.key in evidence.asked for each in schedule.arrivals):
            headline = f"{arm}: it was not served to its end"
            yield _finding(schedule.name, Outcome.INCONCLUSIVE, Reason.MISSING, headline)


class _Served:
    """One arm's run of one schedule, beside what it answers without it."""

    def __init__(self, evidence: Evidence, run: ServedRun, *, arm: str) -> None:
        self.evidence, self.run, self.arm = evidence, run, arm
        self.told = evidence.header.arms[arm]
        self.strict = self.told.identity is not None
        ours = evidence.answers(run.arm)
        answers = {key: each.generation for key, each in ours.items()}
        self.served = Served(
            events=tuple(
                replace(each, generation=answers.get(each.key))
                if each.happened == "finished"
                else each
                for each in run.events
            )
        )
        self.alone = {key: each.generation for key, each in evidence.answers(arm).items()}
        self.left: Counter[str] = Counter()
        self.keys = [each.key for each in run.schedule.arrivals if self.comparable(each.key)]
        self.ties = 0

    def comparable(self, key: str) -> bool:
        """Whether a request is judged; if not, why is counted."""
        why = self.why_not(key)
        if why is not None:
            self.left[why] += 1
        return why is None

    def why_not(self, key: str) -> str | None:
        """Why nothing of a request can be judged; None: it can."""
        evidence, asked = self.evidence, self.evidence.asked[key]
        if not asked.request.sampling.greedy and not (self.strict and self.told.rule == "coupled"):
            return SAMPLED
        ours = evidence.answers(self.run.arm).get(key)
        theirs = evidence.answers(self.arm).get(key)
        if theirs is None:
            return MISSING
        if ours is not None:
            return None if ours.prompt_ids == theirs.prompt_ids else MISSING
        if asked.before or not any(each.key == key for each in self.served.of("given up")):
            return MISSING
        return None if self.strict else GIVEN_UP

    def differences(self) -> list[ScheduleDifference]:
        """The first difference of each request that has one, in the order of time."""
        schedule, served = self.run.schedule.among(self.keys), self.served
        if not self.strict:
            # What was told of a request that was given up cannot be weighed.
            served = Served(events=tuple(served.of("finished")))
        found = differences(schedule, served, alone=self.alone, bits=self.strict)
        return sorted(found, key=lambda each: each.step)

    def findings(self) -> list[Finding]:
        """One for each difference that no near tie explains."""
        every = [(each, self.weighed(each)) for each in self.differences()]
        self.ties = sum(weighed.reason is Reason.NUMERICS for _, weighed in every)
        return [
            self.finding(each, weighed)
            for each, weighed in every
            if weighed.reason is not Reason.NUMERICS
        ]

    def weighed(self, found: ScheduleDifference) -> Weighed:
        """What a difference amounts to."""
        if self.strict:
            return Weighed(Outcome.FAIL, Reason.SCHEDULE_DEPENDENT, "")
        evidence, arm = self.evidence, self.run.arm
        pair = next((each for each in join(evidence, arm=arm) if each.key == found.key), None)
        if pair is None:
            return Weighed(Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION, "the target has no answer")
        if pair.position is None:
            # The target's own answer: what is asked without times is judged by `greedy`.
            return Weighed(Outcome.PASS, Reason.NUMERICS, "")
        arbitration = next(
            (each for each in evidence.arbitrations if (each.key, each.arm) == (found.key, arm)),
            None,
        )
        weighed = weigh(pair, arbitration, evidence.header.settings)
        # As `greedy` does: another end behind the same tokens is nobody's rounding.
        by_arithmetic = pair.token_differs or pair.text_alone
        return no_yardstick(weighed, arm=untold(evidence)) if by_arithmetic else weighed

    def finding(self, found: ScheduleDifference, weighed: Weighed) -> Finding:
        """One difference, with what happened before it."""
        failed = weighed.outcome is Outcome.FAIL
        because = f" ({weighed.because})" if weighed.because else ""
        return _finding(
            found.key,
            weighed.outcome,
            Reason.SCHEDULE_DEPENDENT if failed else weighed.reason,
            f"{self.arm}, served, at step {found.step}: {found.what}{because}",
            details=tuple(history(self.served, found)),
            repeat=self.repeat(found.key),
            n=found.place + 1,
        )

    def repeat(self, key: str) -> str:
        """The command that serves the suite again."""
        settings = self.evidence.header.settings
        return command(
            "run",
            self.evidence.asked[key].path,
            *("--pair", settings.setup.pair, "--dtype", settings.setup.dtype),
            *("--batch-size", str(settings.setup.batch_size)),
            *("--target", settings.target, "--candidate", settings.candidate),
        )

    def not_told(self) -> Iterator[str]:
        """What was not exercised, or is not known to have been."""
        if self.run.by_clock:
            yield "rows, preemption and reuse are not told by this engine"
            return
        if not self.served.of("seated"):
            yield "rows are not told by this engine, whose memory is set as it opens"
        if self.run.schedule.limits.live_tokens and not self.served.count("preempted"):
            yield "nothing was preempted"


def _summary(name: str, runs: Sequence[_Served], failed: Sequence[Finding]) -> Finding:
    """The finding of a suite, over the shards that it was served in."""
    arm = runs[0].arm
    keys = {key for each in runs for key in each.keys}
    differing = {each.subject for each in failed}
    served = Served(events=tuple(event for each in runs for event in each.served.events))
    same = f"{len(keys - differing)} of {plural(len(keys), 'request')}"
    headline = f"{arm}: {same} answered alike with and without their times"
    if ties := sum(each.ties for each in runs):
        headline += f", {plural(ties, 'near tie')}"
    headline += happened_words(served)
    left: Counter[str] = sum((each.left for each in runs), Counter())
    missing = set.intersection(*(set(unmet(each.run.schedule, each.served)) for each in runs))
    details = [f"not judged: {count} {why}" for why, count in left.items()]
    details += dict.fromkeys(words for each in runs for words in each.not_told())
    outcome, reason = worst([Outcome.PASS, *(each.outcome for each in failed)]), Reason.HELD
    if failed:
        reason = next(each.reason for each in failed if each.outcome is outcome)
    elif not keys:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NOTHING_COMPARED
    elif missing:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NOT_EXERCISED
        headline += f"; nothing was {', nothing was '.join(sorted(missing))}"
    tokens = len(tokens_of(served.events))
    return _finding(name, outcome, reason, headline, details=tuple(details), n=tokens)


def _total(evidence: Evidence) -> Iterator[Finding]:
    """What the candidate was put through, over all suites."""
    runs = [each for each in evidence.served if each.arm == SERVES[CANDIDATE]]
    if runs:
        served = Served(events=tuple(event for each in runs for event in each.events))
        requests = plural(sum(len(each.schedule.arrivals) for each in runs), "request")
        headline = f"{CANDIDATE} served {requests}{happened_words(served)}"
        n = len(tokens_of(served.events))
        yield _finding(RUN, Outcome.PASS, Reason.HELD, headline, n=n)


def _finding(
    subject: str,
    outcome: Outcome,
    reason: Reason,
    headline: str,
    *,
    details: tuple[str, ...] = (),
    repeat: str | None = None,
    n: int = 0,
) -> Finding:
    return Finding(
        check=CHECK,
        subject=subject,
        outcome=outcome,
        reason=reason,
        headline=headline,
        details=details,
        repeat=repeat,
        n=n,
    )
