"""Latencies of answers: TTFT, TPOT, E2E, step latency and effective time per token. Pure.

Seconds throughout. `step_latency` is the gap between emissions, what vLLM calls inter-token
latency; `itl_effective` gives each of a step's tokens its share of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from equivcheck.core.generation import Generation
from equivcheck.metrics.estimates import Quantile, quantile_of

QUANTILES = (0.5, 0.9, 0.99)


def time_to_first_token(answer: Generation) -> float | None:
    """Prompt and first step."""
    if not answer.steps or answer.steps[0].seconds is None or answer.prefill_seconds is None:
        return None
    return answer.prefill_seconds + answer.steps[0].seconds


def time_per_output_token(answer: Generation) -> float | None:
    """``(E2E - TTFT) / (n - 1)``, over the steps after the first."""
    first = time_to_first_token(answer)
    later = len(answer.token_ids) - 1
    if first is None or answer.total_seconds is None or later < 1:
        return None
    return (answer.total_seconds - first) / later


def end_to_end(answer: Generation) -> float | None:
    """Whole request."""
    return answer.total_seconds


def step_latencies(answer: Generation) -> list[float]:
    """Latencies of the steps that say how long they took."""
    return [step.seconds for step in answer.steps if step.seconds is not None]


def effective_latencies(answer: Generation) -> list[float]:
    """One value a token."""
    return [
        step.seconds / step.emitted
        for step in answer.steps
        if step.seconds is not None
        for _ in range(step.emitted)
    ]


def latency_quantiles(answers: Sequence[Generation]) -> dict[str, tuple[Quantile, ...]]:
    """p50, p90 and p99 of each latency; one that no answer tells is left out."""
    single: dict[str, Callable[[Generation], float | None]] = {
        "ttft": time_to_first_token,
        "tpot": time_per_output_token,
        "e2e": end_to_end,
    }
    groups: dict[str, list[list[float]]] = {
        name: [[value] for answer in answers if (value := of(answer)) is not None]
        for name, of in single.items()
    }
    groups["step_latency"] = [step_latencies(answer) for answer in answers]
    groups["itl_effective"] = [effective_latencies(answer) for answer in answers]
    return {
        name: tuple(quantile_of(values, p=p) for p in QUANTILES)
        for name, values in groups.items()
        if any(values)
    }
