"""Decide whose choice a run's number of CPU threads is: the user's, a stored run's, or timing's.

All arms have one number, and a run that is resumed the number that it began with: bits hang on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from equivcheck.capture.draws.plan import sampled_spec
from equivcheck.core.settings import AUTO, EngineSetup, Settings
from equivcheck.engines.naming import read_spec
from equivcheck.records.records import Header
from equivcheck.records.same_run import with_stored_threads

TimeThreads = Callable[[EngineSetup], int | None]
"""Measures which number of threads is faster; None: there is nothing to choose. As
`engines.thread_timing.timed_threads`."""
COMPUTING = frozenset({"native", "transformers"})
"""Engines that compute with this process's torch."""
RECORDED = "replay"


def timed_threads(setup: EngineSetup) -> int | None:
    """As `engines.thread_timing.timed_threads`, which needs torch and is loaded when it measures.

    Raises:
        SettingsError, PairError: as there.
    """
    from equivcheck.engines import thread_timing

    return thread_timing.timed_threads(setup)


class Threads(NamedTuple):
    """What came of it."""

    settings: Settings
    timed: bool
    """Whether the number in the settings was chosen by timing, now."""


def with_threads(
    settings: Settings, *, stored: Header | None, time_threads: TimeThreads | None
) -> Threads:
    """The settings that a run has, its number of threads included where that is known.

    Args:
        settings: As asked for; a number in them stays.
        stored: Header of the run that is resumed. Its choice stays; nothing is timed again.
        time_threads: Measures. None: what nobody chose is left to torch.

    Raises:
        SettingsError: a specification cannot be read.
        EquivcheckError: as `time_threads`.
    """
    if stored is not None:
        return Threads(with_stored_threads(settings, stored), timed=False)
    unset = settings.setup.threads is None
    if time_threads is None or not unset or not computes_here(settings):
        return Threads(settings, timed=False)
    chosen = time_threads(settings.setup)
    if chosen is None:
        return Threads(settings, timed=False)
    return Threads(replace(settings, setup=replace(settings.setup, threads=chosen)), timed=True)


def computes_here(settings: Settings) -> bool:
    """Whether all engines that compute for a run do so with this process's torch, and one does.

    To another library the same setting may mean more than a number: vLLM stops binding threads to
    cores. And an engine in a process of its own may see other cores.

    Raises:
        SettingsError: a specification cannot be read.
    """
    named = [settings.target, settings.candidate, sampled_spec(settings)]
    if settings.control not in (None, AUTO):
        named.append(settings.control)
    found = [read_spec(each, settings.engine) for each in named]
    names = {each.name for each in found}
    apart = any(each.isolated for each in found)
    return not apart and bool(names & COMPUTING) and names <= COMPUTING | {RECORDED}
