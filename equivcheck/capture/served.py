"""Leave out, before anything is decoded, the cases that need what an engine says it refuses.

No arm is asked them, so that all arms answer the same; the header keeps which they are and why.
What an engine refuses without having said so stays a failed answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from equivcheck.capture.plan import Plan, chunks_of, share_out
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.generation import Request
from equivcheck.core.refusals import lacking
from equivcheck.records.records import CONTROL, LeftOut, RequestRecord


def served(plan: Plan, arms: Mapping[str, Capabilities], *, batch_size: int) -> Plan:
    """The plan without the cases that one of these arms does not serve.

    Raises:
        SettingsError: no case is left; says what they need.
    """
    refused = _refused(plan.asked, arms.values())
    if not refused:
        return plan
    gone = {each.key for each in refused}
    asked = tuple(each for each in plan.asked if each.request.key not in gone)
    if not asked:
        first = refused[0]
        raise SettingsError(
            f"no case is left: each of {len(plan.asked)} needs something that an engine refuses, "
            f"as {visible(first.key)} needs {' and '.join(first.needs)}, which "
            f"{visible(first.engine)} refuses"
        )
    probed = {each.key for chunk in plan.probes for each in chunk} - gone
    if not probed:
        # Something has to be asked twice, or nothing is known of repeats.
        probed = {asked[0].request.key}
    return replace(
        plan,
        asked=asked,
        **chunks_of(asked, probed=probed, size=batch_size),
        planned=share_out(
            [each.request for each in asked], probed=probed, control=CONTROL in plan.planned
        ),
        left_out=(*plan.left_out, *refused),
    )


def _refused(asked: Sequence[RequestRecord], arms: Iterable[Capabilities]) -> list[LeftOut]:
    """Cases that an arm does not serve, and turns that follow one of them, in order."""
    told = list(arms)
    refused: dict[str, LeftOut] = {}
    for each in asked:
        key = each.request.key
        first = next((refused[turn] for turn in each.before if turn in refused), None)
        if first is not None:
            refused[key] = replace(first, key=key)
        elif (own := _refusal(each.request, told)) is not None:
            refused[key] = own
    return list(refused.values())


def _refusal(request: Request, arms: Iterable[Capabilities]) -> LeftOut | None:
    """Why a case is left out, by the first engine that does not serve it; None: all do."""
    for told in arms:
        if needs := lacking(told, request):
            engine = told.engine.partition(":")[0]
            return LeftOut(key=request.key, engine=engine, needs=needs)
    return None
