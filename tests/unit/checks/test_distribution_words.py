"""A wrong distribution is named only where it carries most of the evidence."""

from __future__ import annotations

import dataclasses

import numpy as np

from equivcheck.checks.sampled import check
from equivcheck.records.score_table import Support
from tests.unit.checks.test_sampled import evidence_of, table
from tests.unit.statistics.tables import Decoder, StepProbs, temperature

NONE = "none of the known wrong distributions explains it"


def swapped(p: StepProbs, q: StepProbs) -> StepProbs:
    """The second and the fourth most likely token take each other's probability."""
    order = np.argsort(-p, axis=1)
    distribution, rows = p.copy(), np.arange(len(p))
    second, fourth = order[:, 1], order[:, 3]
    distribution[rows, second], distribution[rows, fourth] = p[rows, fourth], p[rows, second]
    return distribution


def test_the_distribution_that_fits_is_named_with_its_share() -> None:
    (finding, *_) = check(evidence_of(table(Decoder(output=temperature(1.2)), rounds=120)))
    assert "the temperature is 1.2 times that asked for" in finding.headline
    (line,) = [each for each in finding.details if "explains it" in each]
    assert line.startswith("the known wrong distribution that explains it: temperature=1.2, 10^")
    assert " of 10^" in line


def test_none_is_named_where_none_fits() -> None:
    (finding, *_) = check(evidence_of(table(Decoder(output=swapped), rounds=120)))
    assert finding.headline.endswith(f"tokens do not follow p, and {NONE}")
    assert NONE in finding.details


def test_none_is_named_for_tokens_that_cannot_be_drawn() -> None:
    sound = table(Decoder(), rounds=20)
    support = sound.support.copy()
    support[100:103] = Support.OUTSIDE
    (finding, *_) = check(evidence_of(dataclasses.replace(sound, support=support)))
    assert finding.headline.startswith("sampled output cannot be the target's")
    assert NONE in finding.details
