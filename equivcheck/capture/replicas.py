"""The replicas of a candidate as arms: the cases that are asked again are put to each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from equivcheck.capture.ask import ask
from equivcheck.capture.plan import Plan, warm_up
from equivcheck.core.errors import EngineError, describe
from equivcheck.core.settings import Settings
from equivcheck.engines.naming import EngineSpec, read_spec, urls_of
from equivcheck.records.records import REPLICA, Failed

if TYPE_CHECKING:
    from equivcheck.capture.arms import Arms
    from equivcheck.capture.logbook import Logbook


def replicas_of(settings: Settings) -> dict[str, str]:
    """Arm to the specification of its server; empty: the candidate is no fleet.

    Raises:
        SettingsError: the candidate's specification is wrong.
    """
    full = read_spec(settings.candidate, settings.engine)
    urls = urls_of(full.options.get("url", ""))
    if full.name != "http" or len(urls) < 2:
        return {}
    # By the table's name, whose limits are those of its replicas.
    named = EngineSpec.parse(settings.candidate)
    return {
        f"{REPLICA}{number}": str(replace(named, options=named.options | {"url": url}))
        for number, url in enumerate(urls, start=1)
    }


def with_replicas(plan: Plan, settings: Settings) -> Plan:
    """The plan, and for each replica the greedy cases among those that are asked again."""
    again = {request.key for chunk in plan.probes for request in chunk if request.sampling.greedy}
    keys = tuple(each.request.key for each in plan.asked if each.request.key in again)
    arms = replicas_of(settings) if keys else {}
    return replace(plan, planned=plan.planned | dict.fromkeys(arms, keys))


def ask_replicas(book: Logbook, arms: Arms) -> None:
    """Put the cases to each replica. What one does not answer is written down as its failure."""
    for arm in [arm for arm in arms if arm.startswith(REPLICA) and arm in book.plan.planned]:
        if not book.missing(arm):
            continue
        try:
            list(ask(arms[arm], warm_up(book.plan), arm=arm))
            for chunk in book.plan.probes:
                book.put(arms[arm], chunk, arm=arm)
        except EngineError as error:
            told = describe(error)
            wanted = [key for key in book.plan.planned[arm] if key in book.missing(arm)]
            book.take_all((Failed(arm=arm, key=key, message=told) for key in wanted), arm=arm)
        arms.close(arm)
