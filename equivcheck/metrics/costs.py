"""What a step costs and what speed follows: c, v, predicted speedup, break-even acceptance. Pure.
The bandwidth floor of a plain step is in `floor.py`.

With R accepted per drafted token, a step of l drafts yields ``1 + l R`` tokens and costs ``l c +
v`` plain steps, where c is a draft token's and v the verification's cost in plain steps. So
speculation pays from ``R = c + (v - 1) / l`` on. The prediction is theorem 3.8 of Leviathan et al.
2023, ``(1 - a**(g + 1)) / ((1 - a) (g c + 1))``, with the measured tokens a step in place of the
geometric sum, which assumes independent acceptances, and the measured v in place of 1. c and v are
told apart only where drafting was timed alone; prediction and break-even need their sum ``l c + v``
alone, which is what the steps took.
"""

from __future__ import annotations

from msgspec import Struct

from equivcheck.metrics.speculation import Speculation, ratio

LEAST_DRAFTED = 0.1
"""Drafts a step under which no break-even is given: it is a difference of step times over them, and
a hundredth of a step's time over a hundredth of a draft is any number at all."""


class Costs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Cost of a candidate's step in plain steps of one baseline."""

    c: float | None = None
    """A draft token."""
    v: float | None = None
    """A verification."""
    step_cost: float | None = None
    """Draft and verification together: ``l c + v``."""
    drafted_per_step: float | None = None
    """l."""
    predicted_speedup: float | None = None
    """Predicted speed-up of decoding; reading the prompt is not in it."""
    measured_over_predicted: float | None = None
    """Measured speedup, prompt included, over the predicted one; None: withheld or unknown."""
    break_even: float | None = None
    """Acceptance rate at which the predicted speedup is 1; None: hardly anything was drafted."""


def costs_of(
    speculation: Speculation,
    *,
    step_seconds: float | None,
    baseline_step_seconds: float | None,
    draft_token_seconds: float | None,
    measured_speedup: float | None = None,
) -> Costs:
    """Costs from median step times.

    Args:
        speculation: The candidate's counts.
        step_seconds: Of a step of the candidate, draft and verification.
        baseline_step_seconds: Of a plain step.
        draft_token_seconds: Of one draft token, timed alone; None: not known.
        measured_speedup: Over the same baseline; None: not known.
    """
    drafted = speculation.drafted_per_step
    if not step_seconds or not baseline_step_seconds or not drafted:
        return Costs(drafted_per_step=drafted)
    cost = step_seconds / baseline_step_seconds
    c = v = None
    if draft_token_seconds is not None:
        c = draft_token_seconds / baseline_step_seconds
        v = cost - drafted * c
    rate = speculation.num_accepted_draft_tokens / speculation.num_draft_tokens
    predicted = predicted_speedup(rate=rate, drafted=drafted, step_cost=cost)
    return Costs(
        c=c,
        v=v,
        step_cost=cost,
        drafted_per_step=drafted,
        predicted_speedup=predicted,
        measured_over_predicted=None if measured_speedup is None else measured_speedup / predicted,
        break_even=(
            break_even(drafted=drafted, step_cost=cost) if drafted >= LEAST_DRAFTED else None
        ),
    )


def predicted_speedup(*, rate: float, drafted: float, step_cost: float) -> float:
    """``(1 + l R) / (l c + v)``: tokens a step over what the step costs."""
    return (1 + drafted * rate) / step_cost


def break_even(*, drafted: float, step_cost: float) -> float:
    """``c + (v - 1) / l``, that is ``(l c + v - 1) / l``; over 1: speculation can never pay."""
    return (step_cost - 1) / drafted


def memory_bandwidth_utilisation(
    *, step_bytes: int | None, step_seconds: float | None, bandwidth: float | None
) -> float | None:
    """Weight and cache bytes a step over what a copy moves in the same time."""
    if step_bytes is None or not step_seconds or not bandwidth:
        return None
    return ratio(step_bytes, of=step_seconds * bandwidth)
