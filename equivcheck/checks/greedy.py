"""Gate: at temperature 0 the candidate answers with the target's token ids, near ties apart.

Of engines that give text alone, with the target's text.
"""

from __future__ import annotations

from equivcheck.checks.identity import hold
from equivcheck.checks.text_alone import weigh
from equivcheck.core.findings import Finding
from equivcheck.records.records import Evidence


def check(evidence: Evidence) -> list[Finding]:
    """Hold every greedy case to token identity; divergences are weighed as `near_ties` says."""
    keys = [key for key, asked in evidence.asked.items() if asked.request.sampling.greedy]
    return hold(evidence, check="greedy", keys=keys, weigh=weigh)
