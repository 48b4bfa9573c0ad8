"""What a service has done so far, in counts."""

from __future__ import annotations

from msgspec import Struct


class Statistics(Struct, kw_only=True):
    """Counts since a service began."""

    prompt: int = 0
    """Prompt tokens of requests that began to be decoded, again after each preemption."""
    cached: int = 0
    """How many of these were taken over from requests before."""
    read: int = 0
    """Prompt tokens that were read."""
    preempted: int = 0
    given_up: int = 0
    replays: int = 0
    """Windows in which preempted requests were computed again."""
