"""Which decoders a measurement compares, from what was asked for; and at which settings. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.core.validation import explain
from equivcheck.engines.naming import EngineSpec, name_in
from equivcheck.engines.registry import known_engines
from equivcheck.metrics.load_records import Arrivals
from equivcheck.metrics.records import STOCK, TARGET, BenchArm, Point, Role

WORST = "never-right"
"""Engine that drafts what the target will not say."""
SLOTS = 8
SWEPT = ("batch", "gamma", "context")


class Sweeps(NamedTuple):
    """The values that are gone through; empty: the setting stays as it is."""

    batch: tuple[int, ...] = ()
    gamma: tuple[int, ...] = ()
    context: tuple[int, ...] = ()

    @classmethod
    def parse(cls, given: Sequence[str]) -> Sweeps:
        """Read ``batch=1,2,4`` and the like.

        Raises:
            SettingsError: another name, no number, or a name twice.
        """
        found: dict[str, tuple[int, ...]] = {}
        for text in given:
            name, _, listed = text.partition("=")
            if name not in SWEPT or name in found:
                problem = "named once" if name in found else f"one of {', '.join(SWEPT)}"
                raise SettingsError(f"--sweep {text!r}: {name!r} has to be {problem}")
            try:
                found[name] = tuple(sorted({int(value) for value in listed.split(",")}))
            except ValueError:
                raise SettingsError(f"--sweep {text!r}: write {name}=1,2,4") from None
            if min(found[name]) < 1:
                raise SettingsError(f"--sweep {text!r}: {min(found[name])} is below 1")
        return cls(**found)


def points_of(
    setup: EngineSetup,
    sweeps: Sweeps,
    *,
    refills: int = 0,
    arrivals: Sequence[Arrivals] = (),
) -> tuple[Point, ...]:
    """Every batch size at every context, and every load if there is one.

    A batch of one is a prompt, and is not refilled.

    Raises:
        SettingsError: an engine cannot be set up with one of them, or none has rows to refill, or
            they are refilled anyway.
    """
    if refills and arrivals:
        raise SettingsError(
            f"--refills {refills}: with --arrivals, rows are refilled as requests come; leave it "
            f"out"
        )
    points = tuple(
        Point(
            batch_size=batch,
            context=context,
            filled=bool(sweeps.context),
            refills=refills if batch > 1 else 0,
            arrivals=load,
        )
        for batch in sweeps.batch or (setup.batch_size,)
        for context in sweeps.context or (setup.context,)
        for load in arrivals or (None,)
    )
    if refills and not any(point.refills for point in points):
        raise SettingsError(
            f"--refills {refills}: there are no rows to refill at batch 1; give --batch-size, or "
            f"--sweep batch=1,4,8"
        )
    for point in points:
        given = {"batch_size": point.batch_size, "context": point.context}
        try:
            msgspec.convert(msgspec.to_builtins(setup) | given, EngineSetup)
        except msgspec.ValidationError as error:
            raise SettingsError(f"--sweep: {explain(error, {'': EngineSetup})}") from error
    return points


def arms_of(
    settings: Settings,
    *,
    drafts: Sequence[str],
    others: Sequence[str],
    gammas: Sequence[int] = (),
    worst: bool = False,
    stock: bool = True,
) -> tuple[BenchArm, ...]:
    """Target, stock, candidates (every draft with every gamma), others, in this order.

    Native arms get one width, the widest that any of them needs: bits are equal at equal width.
    Only one of `others` that names a width keeps it, and leaves the rest at theirs.

    Args:
        settings: Target, candidate and pair.
        drafts: Engines (``native:drafter=lookup``) or pairs (``TARGET+DRAFT``), in place of the
            candidate.
        others: Engines measured beside them.
        gammas: Numbers of drafts to go through.
        worst: Whether to add the draft that is never right, with fixed and with adaptive gamma.
        stock: Whether to add plain decoding one token wide, where the target is native.

    Raises:
        SettingsError: a specification is wrong, or two arms are the same.
    """
    pair = settings.setup.pair
    candidates = [
        _with_gamma(spec, gamma) if gamma else spec
        for spec in (_draft(text, settings) for text in drafts or (settings.candidate,))
        for gamma in (gammas or (0,))
    ]
    if worst:
        spoiled = next((each for each in candidates if _is_native(each.spec)), candidates[0])
        candidates += [_never_right(spoiled, adaptive=adaptive) for adaptive in ("false", "true")]
    target = EngineSpec.parse(settings.target)
    beside = [EngineSpec.parse(text) for text in others]
    specs = [target, *(each.spec for each in candidates)]
    specs += [spec for spec in beside if "width" not in spec.options]
    width = max((_slots(spec) for spec in specs if _is_native(spec)), default=SLOTS)
    arms = [
        BenchArm(name=TARGET, role="target", spec=str(_wide(target, width)), pair=pair),
    ]
    if stock and target.name == "native":
        arms.append(BenchArm(name=STOCK, role="stock", spec="native:gamma=0,width=1", pair=pair))
    for each in candidates:
        spec = _wide(each.spec, width)
        name = str(each.spec) if each.pair == pair else f"{each.spec} on {each.pair}"
        role: Role = "other" if spec.name == WORST else "candidate"
        arms.append(BenchArm(name=name, role=role, spec=str(spec), pair=each.pair))
    for spec in beside:
        wide = str(_wide(spec, width))
        arms.append(BenchArm(name=str(spec), role="other", spec=wide, pair=pair))
    _refuse_twins(arms)
    return tuple(arms)


class _Drafting(NamedTuple):
    spec: EngineSpec
    pair: str


def _draft(text: str, settings: Settings) -> _Drafting:
    if name_in(text) in (*known_engines(), *settings.engine):
        return _Drafting(EngineSpec.parse(text), settings.setup.pair)
    return _Drafting(EngineSpec.parse(settings.candidate), text)


def _with_gamma(drafting: _Drafting, gamma: int) -> _Drafting:
    # Gamma first, whether it was given or not.
    options = {"gamma": ""} | drafting.spec.options | {"gamma": str(gamma)}
    return drafting._replace(spec=msgspec.structs.replace(drafting.spec, options=options))


def _never_right(drafting: _Drafting, *, adaptive: str) -> _Drafting:
    """As a candidate drafts, by whatever contract, rule and kernels, and never right."""
    given = drafting.spec.options if _is_native(drafting.spec) else {}
    options = {"gamma": drafting.spec.options.get("gamma", "4"), "adaptive": adaptive}
    return drafting._replace(spec=EngineSpec(name=WORST, options=options | given | options))


def _is_native(spec: EngineSpec) -> bool:
    return spec.name in ("native", WORST)


def _slots(spec: EngineSpec) -> int:
    given = spec.options.get("width", "none")
    if given.isdigit():
        return int(given)
    gamma = spec.options.get("gamma", "4")
    return SLOTS * math.ceil((int(gamma) + 1) / SLOTS) if gamma.isdigit() else SLOTS


def _wide(spec: EngineSpec, width: int) -> EngineSpec:
    """With the common width, said only where it is not the usual one."""
    if not _is_native(spec) or "width" in spec.options or width == _slots(spec):
        return spec
    return msgspec.structs.replace(spec, options=spec.options | {"width": str(width)})


def _refuse_twins(arms: Sequence[BenchArm]) -> None:
    names = [arm.name for arm in arms]
    for name in _twice(names):
        raise SettingsError(f"two arms are {name!r}; each has to be another decoder")


def _twice(names: Sequence[str]) -> Iterator[str]:
    return (name for at, name in enumerate(names) if name in names[:at])
