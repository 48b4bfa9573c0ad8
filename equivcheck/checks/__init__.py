"""One gate a file. Pure: records in, findings out.

Every check takes the whole evidence and returns its findings: about cases, workloads or the run.
"""

from __future__ import annotations

from collections.abc import Callable

from equivcheck.checks import (
    acceptance,
    baseline,
    batching,
    complete,
    counters,
    coupled,
    determinism,
    engaged,
    exercised,
    greedy,
    logprobs,
    replayed,
    replicas,
    sampled,
    score,
    served,
    sessions,
    stopping,
)
from equivcheck.core.findings import Finding
from equivcheck.records.records import Evidence

Check = Callable[[Evidence], list[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("complete", complete.check),
    ("greedy", greedy.check),
    ("coupled", coupled.check),
    ("sessions", sessions.check),
    ("schedules", served.check),
    ("sampled", sampled.check),
    ("replayed", replayed.check),
    ("engaged", engaged.check),
    ("events", exercised.check),
    ("determinism", determinism.check),
    ("batching", batching.check),
    ("replicas", replicas.check),
    ("stopping", stopping.check),
    ("logprobs", logprobs.check),
    ("counters", counters.check),
    ("score", score.check),
    ("baseline", baseline.check),
    ("acceptance", acceptance.check),
)
"""Name and function of every gate, in the order their findings are shown."""
