"""Controls: sound servers, which no check may accuse."""

from __future__ import annotations

from equivcheck.faults.fault import control
from equivcheck.serving.server import Server

EVERY = ("again", "shared", "crowded", "given-up", "pressure", "samples", "long", "waves")


@control("served", schedules=EVERY)
class SoundServer(Server):
    """The server as it is."""


@control("served-plain", schedules=EVERY, engine="native:gamma=0")
class SoundPlain(Server):
    """The server as it is, without drafts."""


@control("served-gamma-7", schedules=EVERY, engine="native:gamma=7")
class SoundLongServer(Server):
    """The server as it is, seven drafts a step."""


@control("served-lookup", schedules=EVERY, engine="native:gamma=4,drafter=lookup")
class SoundLookupServer(Server):
    """The server as it is, with drafts by prompt lookup."""


@control("served-adaptive", schedules=EVERY, engine="native:gamma=4,adaptive=true")
class SoundAdaptiveServer(Server):
    """The server as it is, with a gamma that changes from step to step."""
