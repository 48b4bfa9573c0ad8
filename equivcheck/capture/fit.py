"""Say before any engine opens which cases none could serve: too long, or of another vocabulary.

Engines refuse the same request by request, once all else is answered. Nothing is refused here that
an engine of either arm might serve.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from equivcheck.capture.plan import answers_before
from equivcheck.core.errors import SettingsError, SuiteError
from equivcheck.core.escape import visible
from equivcheck.core.settings import Settings
from equivcheck.engines.naming import read_spec
from equivcheck.engines.serving import LIMITED, ids_outside, positions
from equivcheck.pairs.extent import Extent
from equivcheck.records.records import RequestRecord


def limited(settings: Settings, *, by: Collection[str] = LIMITED) -> bool:
    """Whether target or candidate is one of the engines that refuse what does not fit the setup.

    Raises:
        SettingsError: a specification cannot be read.
    """
    return any(
        read_spec(spec, settings.engine).name in by
        for spec in (settings.target, settings.candidate)
    )


def refuse_too_long(asked: Sequence[RequestRecord], *, context: int) -> None:
    """Refuse cases that need more than the context.

    Raises:
        SettingsError: with how many there are, the longest, and the setting that mends it.
    """
    before = answers_before(asked)
    needs = {each.request.key: positions(each.request) + before[each.request.key] for each in asked}
    long = [key for key, needed in needs.items() if needed > context]
    if not long:
        return
    longest = max(long, key=lambda key: needs[key])
    raise SettingsError(
        f"{len(long)} of {len(asked)} cases {_needs(long)} more than the context of {context} "
        f"positions, the largest ({visible(longest)}) {needs[longest]}; say --set "
        f"setup.context={needs[longest]}, or take them out of the suite"
    )


def refuse_beyond_models(asked: Sequence[RequestRecord], extents: Mapping[str, Extent]) -> None:
    """Refuse cases that need more positions than a model was made for.

    Args:
        asked: All cases.
        extents: Of each model, by its role.

    Raises:
        SettingsError: with how many there are, the longest, and what mends it.
    """
    for role, extent in extents.items():
        most = extent.positions
        long = [
            each.request for each in asked if most is not None and positions(each.request) > most
        ]
        if long:
            longest = max(long, key=positions)
            raise SettingsError(
                f"{len(long)} of {len(asked)} cases {_needs(long)} more than the {most} positions "
                f"that the config of the {role} names, the largest ({visible(longest.key)}) "
                f"{positions(longest)}; set setup.pair to one whose {role} has as many, or take "
                f"them out of the suite"
            )


def refuse_unknown_ids(asked: Sequence[RequestRecord], *, vocab: int) -> None:
    """Refuse cases that name ids which the pair lacks.

    Raises:
        SuiteError: with how many there are, and the first by file and line.
    """
    unknown = [each for each in asked if ids_outside(each.request, vocab=vocab)]
    if not unknown:
        return
    first = unknown[0]
    token = ids_outside(first.request, vocab=vocab)[0]
    raise SuiteError(
        f"{visible(first.path)}:{first.line}: token id {token} is outside the pair's vocabulary of "
        f"{vocab}, as in {len(unknown)} of {len(asked)} cases"
    )


def _needs(cases: Sequence[object]) -> str:
    return "needs" if len(cases) == 1 else "need"
