"""A suite whose law is tested, and a profile so small that a random pair does it in seconds."""

from __future__ import annotations

import msgspec

from equivcheck.core.cases import Sampling, Suite
from equivcheck.statistics.profiles import PROFILES, Profile, Required
from tests.engines.suite import make_suite

LAWS = (
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


def law_suite() -> Suite:
    suite = make_suite("law", count=len(LAWS))
    cases = tuple(
        msgspec.structs.replace(case, sampling=law, stop=())
        for case, law in zip(suite.cases, LAWS, strict=True)
    )
    return msgspec.structs.replace(suite, cases=cases, law=True)


def make_profiles_small() -> None:
    """For processes of their own; a test patches the table instead."""
    PROFILES["default"] = SMALL
