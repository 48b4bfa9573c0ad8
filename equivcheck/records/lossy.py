"""Which lossy settings a run's candidate has in effect: by what it says, and how it was started."""

from __future__ import annotations

from equivcheck.core.lossy import lossy_in
from equivcheck.records.records import CANDIDATE, Header


def lossy_by(header: Header) -> tuple[str, ...]:
    """The candidate's, as ``NAME=VALUE``; empty: none that is known.

    Read of its specification, of the table of that name with its command and environment, and of
    what its engine tells.
    """
    named = header.settings.candidate
    told = [named]
    if table := header.settings.engine.get(named.removeprefix("isolated:").partition(":")[0]):
        told += [table.engine, *(f"{key}={value}" for key, value in table.env.items())]
        told += [table.start or ""]
    if capabilities := header.arms.get(CANDIDATE):
        told += [capabilities.engine, *capabilities.lossy]
    return lossy_in(told)
