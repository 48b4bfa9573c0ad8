"""One arm's graded answers: tasks, samples of each, and what each metric says of every answer."""

from __future__ import annotations

from typing import NamedTuple


class GradedAnswer(NamedTuple):
    """One answer to one sample."""

    prompt: str
    """What was asked, or a digest of it: equal on both arms, or they are not comparable."""
    text: str | None
    """What the model wrote; None where the log has no text, as for likelihoods."""
    scores: dict[str, float | None]
    """Metric to its value, 1 right and 0 wrong; None where the log has no number."""


Task = dict[str, dict[int, GradedAnswer]]
"""Sample to its answers by epoch."""
Evaluation = dict[str, Task]
"""Task to its samples."""
