"""Gives up, for good, what a process needs in order to do harm. Called before any hostile text.

Three layers, of which only the first two are the kernel's: the user `nobody` where the process was
root, resource limits that cannot be raised again, and an audit hook that refuses to write outside
the working folder, to start or signal processes and to reach the network. The hook is a guard rail,
not a wall: code that means to can get around it from within the interpreter. There are no
namespaces and no system-call filter, so files that the user may read can be read: root's too, where
root's interpreter lies in a folder that `nobody` cannot enter, since the standard library is there.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOBODY = 65534
_PR_SET_KEEPCAPS = 8
_READ_ANYTHING = 1 << 2
"""CAP_DAC_READ_SEARCH."""
_CAPABILITY_VERSION_3 = 0x20080522
_AF_UNIX = 1
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = (
    "os.chflags",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.removexattr",
    "os.symlink",
    "os.truncate",
    "os.utime",
)
_REFUSED = (
    "ctypes.",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pty.",
    "resource.",
    "signal.pthread_kill",
    "socket.",
    "subprocess.",
    "syslog.",
)


class NotContainedError(Exception):
    """This machine does not let the process be contained."""


def contain(*, seconds: float, memory_mib: int, file_kib: int) -> None:
    """Give up rights and put limits in force, in the current folder.

    Raises:
        NotContainedError: a process could still be started, or `nobody` cannot read the standard
            library.
    """
    if os.geteuid() == 0:
        _become_nobody()
    # One more, so that it is the wall clock that ends it, with a better reason.
    _limit(resource.RLIMIT_CPU, math.ceil(seconds) + 1)
    _limit(resource.RLIMIT_AS, memory_mib * 2**20)
    _limit(resource.RLIMIT_FSIZE, file_kib * 2**10)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_CORE, 0)
    # Linux counts what the user runs elsewhere too, so none is the only number that means anything.
    _limit(resource.RLIMIT_NPROC, 0)
    if _can_fork():
        raise NotContainedError("a process limit has no effect for this user")
    sys.addaudithook(_refuse(os.path.realpath(os.getcwd())))  # noqa: PTH109


def _become_nobody() -> None:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    except OSError:
        # Root of a container without a user to become: what decides is whether limits hold.
        return
    readable = Path(os.__file__).parent
    if libc:
        _keep(libc, capabilities=0 if _lists(readable) else _READ_ANYTHING)
    if not _lists(readable):
        raise NotContainedError(f"user {NOBODY} (nobody) cannot read {readable}")


def _keep(libc: ctypes.CDLL, *, capabilities: int) -> None:
    """Give up every capability but these. An interpreter in root's home needs one to be read."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(capabilities, capabilities, 0, 0, 0, 0)
    if libc.capset(header, data) != 0:
        raise NotContainedError(f"capabilities stay: {os.strerror(ctypes.get_errno())}")


def _lists(folder: Path) -> bool:
    try:
        return bool(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return False


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (value, value))


def _can_fork() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def _refuse(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    def outside(path: str | bytes) -> bool:
        real = os.path.realpath(os.fsdecode(path))
        return real != folder and not real.startswith(folder + os.sep)

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "socket.__new__" and given[1] == _AF_UNIX:
            # An event loop wakes itself by a pair of them; to connect one is refused.
            return
        if event.startswith(_REFUSED):
            raise PermissionError(f"not allowed while grading: {event}")
        if event == "open":
            path, _, flags = given
            if isinstance(path, int) or path == os.devnull:
                return
            # A folder's descriptor would let paths start there that look like paths in here.
            touched = [path] if flags & _WRITING or os.path.isdir(path) else []  # noqa: PTH112
        elif event in _CHANGES:
            if isinstance(given[0], int):
                raise PermissionError(f"not allowed while grading: {event} of a descriptor")
            touched = [path for path in given[:2] if isinstance(path, str | bytes)]
        else:
            return
        for path in touched:
            if outside(path):
                raise PermissionError(f"not allowed while grading: to change {path!r}")

    return hook
