"""Puts a process under limits that it cannot raise again. Called before any text of an answer."""

from __future__ import annotations

import math
import os
import resource


class NotLimitedError(Exception):
    """A limit that was set has no effect for this user."""


def limit(*, seconds: float, memory_mib: int, file_kib: int) -> None:
    """Limit processor, memory, files and their length.

    Privileged users are not held by all of them; only code that is run has to be.
    """
    # One more, so that it is the wall clock that ends it, with a better reason.
    _limit(resource.RLIMIT_CPU, math.ceil(seconds) + 1)
    _limit(resource.RLIMIT_AS, memory_mib * 2**20)
    _limit(resource.RLIMIT_FSIZE, file_kib * 2**10)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_CORE, 0)


def allow_no_process() -> None:
    """Make this the last process and the last thread.

    Raises:
        NotLimitedError: a process could still be started.
    """
    # Linux counts what the user runs elsewhere too, so none is the only number that means anything.
    _limit(resource.RLIMIT_NPROC, 0)
    try:
        child = os.fork()
    except OSError:
        return
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    raise NotLimitedError("a process limit has no effect for this user")


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (value, value))
