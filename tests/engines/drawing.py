"""A suite whose distribution is tested, and a profile that a random pair does in seconds."""

from __future__ import annotations

import msgspec

from equivcheck.core.cases import Sampling, Suite
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.engines.suite import make_suite

SAMPLINGS = (
    Sampling(temperature=1.0),
    Sampling(temperature=0.7),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=1.3, top_k=20),
    Sampling(),
    Sampling(temperature=1.0, repetition_penalty=1.2),
)
DRAWN = ("law/c0", "law/c1", "law/c2", "law/c3", "law/c5")
BUDGET = 900
SMALL = Profile(tokens=BUDGET, required=(Required("leak", 1.0),))


def drawn_suite() -> Suite:
    suite = make_suite("law", count=len(SAMPLINGS))
    cases = tuple(
        msgspec.structs.replace(case, sampling=distribution, stop=())
        for case, distribution in zip(suite.cases, SAMPLINGS, strict=True)
    )
    return msgspec.structs.replace(suite, cases=cases, distribution=True)


def make_profiles_small() -> None:
    """For processes of their own; a test patches the table instead."""
    PROFILES["default"] = SMALL
