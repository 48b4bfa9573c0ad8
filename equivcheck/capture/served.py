"""Leave out, before anything is decoded, the cases that need what an engine says it refuses.

No arm is asked them, so that all arms answer the same; the header keeps which they are and why.
What an engine refuses without having said so stays a failed answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from equivcheck.capture.plan import Plan, share_out
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.generation import Request
from equivcheck.core.refusals import lacking
from equivcheck.records.asking_order import chunked
from equivcheck.records.records import CONTROL, LeftOut


def served(plan: Plan, arms: Mapping[str, Capabilities], *, batch_size: int) -> Plan:
    """The plan without the cases that one of these arms does not serve.

    Raises:
        SettingsError: no case is left; says what they need.
    """
    refused = [
        each for asked in plan.asked if (each := _refusal(asked.request, arms.values())) is not None
    ]
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
    probes = _left(plan.probes, gone)
    others = _left(plan.others, gone)
    if not probes:
        # Something has to be asked twice, or nothing is known of repeats.
        probes, others = others[:1], others[1:]
    return replace(
        plan,
        asked=asked,
        probes=chunked(probes, size=batch_size),
        others=chunked(others, size=batch_size),
        planned=share_out(
            [each.request for each in asked],
            probed={each.key for each in probes},
            control=CONTROL in plan.planned,
        ),
        left_out=(*plan.left_out, *refused),
    )


def _left(chunks: Iterable[Iterable[Request]], gone: set[str]) -> list[Request]:
    return [each for chunk in chunks for each in chunk if each.key not in gone]


def _refusal(request: Request, arms: Iterable[Capabilities]) -> LeftOut | None:
    """Why a case is left out, by the first engine that does not serve it; None: all do."""
    for told in arms:
        if needs := lacking(told, request):
            engine = told.engine.partition(":")[0]
            return LeftOut(key=request.key, engine=engine, needs=needs)
    return None
