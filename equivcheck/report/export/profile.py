"""How well a draft guesses, as a ``speculation_profile.json`` of schema 1.0.

The format is that of NVIDIA's Model Optimizer (`specdec_bench`): rates of each draft position in
both conventions, and two validations. Lengths count the target's own token, so a length of 1 is a
step in which no draft was accepted. A step of fewer drafts than others counts at every position, as
one that accepted nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from equivcheck.core.escape import head
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.statistics.acceptance_rate import (
    AcceptanceCounts,
    acceptance_by_workload,
    acceptance_of,
)

SCHEMA_VERSION = "1.0"
TOLERANCE = 0.02
"""Most that the mean length may differ from the one that the marginal rates imply."""
DIGITS = 6
_CELLS = 120


def profile_of(evidence: Evidence) -> dict[str, Any]:
    """The candidate's profile over a whole run; ``measured`` is false where it never drafted."""
    captured = evidence.captured.get(CANDIDATE, {})
    answers = [captured[key].generation for key in evidence.asked if key in captured]
    found = acceptance_of(answers)
    engine = evidence.header.arms.get(CANDIDATE)
    most = max([engine.num_speculative_tokens if engine else 0, *found.drafted_lengths])
    marginal = [*found.marginal_rates, *[0.0] * (most - len(found.marginal_rates))]
    mean = found.mean_length
    method = _method(engine.engine if engine else "")
    chain = method == "draft_model" and len(found.drafted_lengths) == 1
    return {
        "schema_version": SCHEMA_VERSION,
        "measured": mean is not None,
        "method": method,
        "draft_checkpoint": _model(evidence, "draft"),
        "target_model": _model(evidence, TARGET),
        "num_speculative_tokens": most,
        "block_size": None,
        "max_supported_k": most,
        "verification_method": "longest_prefix",
        "conditional_accept_rates": _rounded(conditional(marginal)),
        "marginal_accept_rates": _rounded(marginal),
        "mean_accept_length": _digits(mean),
        "mean_accept_length_per_request": _digits(_mean_of_requests(answers)),
        "accept_length_model": "chain_analytic" if chain else "measured_per_k",
        "accept_length_by_k": {} if mean is None else {str(most): _digits(mean)},
        "acceptance_length_histogram": {
            str(accepted + 1): steps for accepted, steps in found.histogram.items()
        },
        "per_category": {
            head(workload, cells=_CELLS): _category(acceptance)
            for workload, acceptance in acceptance_by_workload(evidence).items()
        },
        "measurement_conditions": _conditions(evidence),
        "validation": None if mean is None else validation(mean, marginal),
    }


def conditional(marginal: Sequence[float]) -> list[float]:
    """Rate of each position given that all before it were accepted; 0 where that never was."""
    return [rate / before if before else 0.0 for before, rate in pairwise([1.0, *marginal])]


def validation(mean: float, marginal: Sequence[float]) -> dict[str, Any]:
    """The two checks of the schema: mean against marginals, and that these never rise."""
    implied = 1.0 + sum(marginal)
    rises = [
        {"position": position, "value": rate, "previous": before}
        for position, (before, rate) in enumerate(pairwise(marginal), start=1)
        if rate > before
    ]
    return {
        "mean_consistency": {
            "implied_mean_accept_length": _digits(implied),
            "reported_mean_accept_length": _digits(mean),
            "abs_delta": _digits(abs(implied - mean)),
            "tolerance": TOLERANCE,
            "passed": abs(implied - mean) <= TOLERANCE,
        },
        "marginal_monotonicity": {"passed": not rises, "violations": rises},
    }


def _mean_of_requests(answers: Sequence[Generation]) -> float | None:
    lengths = [acceptance_of([answer]).mean_length for answer in answers]
    known = [length for length in lengths if length is not None]
    return sum(known) / len(known) if known else None


def _category(found: AcceptanceCounts) -> dict[str, Any]:
    return {
        "mean_accept_length": _digits(found.mean_length),
        "draft_acceptance_rate": _digits(found.rate),
        "num_spec_steps": found.num_spec_steps,
    }


def _conditions(evidence: Evidence) -> dict[str, Any]:
    header = evidence.header
    setup = header.settings.setup
    arm = header.arms.get(CANDIDATE)
    return {
        "tool": "equivcheck",
        "run": head(header.run, cells=_CELLS),
        "created": head(header.created, cells=_CELLS),
        "dataset": {
            head(suite.workload, cells=_CELLS): head(suite.digest, cells=_CELLS)
            for suite in header.suites
        },
        "engine": head(arm.engine, cells=_CELLS) if arm else None,
        "device": head(arm.device, cells=_CELLS) if arm else None,
        "dtype": setup.dtype,
        "batch_size": setup.batch_size,
    }


def _model(evidence: Evidence, role: str) -> dict[str, str] | None:
    """What was loaded, without the folders it lay in: a profile is made to be published."""
    told = evidence.header.models.get(role)
    if told is None:
        return None
    return {"id": head(re.sub(r"(?:[A-Za-z]:)?[\\/]\S*[\\/](?=\S)", "", told), cells=_CELLS)}


def _method(engine: str) -> str:
    return "prompt_lookup" if "lookup" in engine else "draft_model"


def _rounded(rates: Sequence[float]) -> list[float]:
    return [round(rate, DIGITS) for rate in rates]


def _digits(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
