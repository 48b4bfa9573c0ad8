"""Rigs: what a fault is compared with. Sound arms are captured once a rig and then replayed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.cases import Suite
from equivcheck.core.rules import RULES
from equivcheck.core.settings import AUTO, EngineSetup, Settings
from equivcheck.engines.naming import EngineSpec
from equivcheck.fault_matrix.openers import open_with_one_token
from equivcheck.fault_matrix.schedules import CONTEXT, ROWS, WRITERS, schedule
from equivcheck.fault_matrix.service_schedules import WRITERS as SERVICES
from equivcheck.fault_matrix.service_schedules import Service, service
from equivcheck.fault_matrix.writer import Encode
from equivcheck.faults.fault import Fault
from equivcheck.faults.recurrence import TARGET, Recurrent
from equivcheck.records.records import CONTROL
from equivcheck.records.records import TARGET as TARGET_ARM
from equivcheck.statistics.profiles import PROFILES

PAIR = "tiny"
WITH_HEADS = "tiny-v2"
"""A pair of the same tokenizer, so that schedules are its own, too."""
SETUP = EngineSetup(pair=PAIR, batch_size=ROWS, context=CONTEXT, threads=1)
FEW_ROWS = 4
"""Rows of a batch that serves, so that a few requests are more than there are rows."""
HEADS = ("eagle3", "mtp")
"""Drafters that run a head."""
NOT_SHOWN = frozenset(
    {
        "head-layers-late",
        "head-q-unmapped",
        "mtp-depth-reused",
        "mtp-later-depth-unread",
        "sound-eagle3-rejection",
    }
)
"""What the bundled heads are kept too seldom to show within a run: run only where it is named."""
UNLIMITED = 1e9
"""Nats. The reference knows no recurrent layer, so its log-probabilities say nothing there."""
SELDOM = 1000
"""Every so many cases are asked again, or scored: the first of each schedule only."""


class Rig(Struct, frozen=True, kw_only=True):
    """A target, a sound candidate and how strictly they are compared."""

    name: str
    settings: Settings
    schedules: tuple[str, ...]
    compares_drafts: bool = False
    """Whether acceptance is compared with a sound candidate's."""


def settings_with(**changes: Any) -> Settings:
    """What all rigs share: a small batch, every case also asked again and among others."""
    base = Settings(
        setup=SETUP,
        control=None,
        probe_every=1,
        rescore_every=4,
        sampled=None,
    )
    return msgspec.structs.replace(base, **changes)


STANDARD = Rig(
    name="standard",
    settings=settings_with(),
    schedules=tuple(
        name for name in WRITERS if name not in ("drafts", "noisy", "recurrent", "law")
    ),
)
RECURRENT = Rig(
    name="recurrent",
    settings=settings_with(
        target=TARGET,
        candidate="native:gamma=4,fault=recurrent",
        logprob_tolerance=UNLIMITED,
    ),
    schedules=("recurrent",),
)
"""Both arms have the toy layer."""
UNPROMISED = Rig(
    name="unpromised",
    settings=settings_with(
        setup=msgspec.structs.replace(SETUP, dtype="bfloat16"),
        candidate="native:gamma=4,width=5",
        control="native:gamma=0,width=1,fault=unpromised-noise",
    ),
    schedules=("noisy",),
)
"""No identity contract, in bf16: near ties occur, are weighed, and held to the control arm's."""
BY_DISTRIBUTION = frozenset(name for name, facts in RULES.items() if not facts.same_tokens)
"""Rules that promise the target's distribution and not its tokens."""
DISTRIBUTION = Rig(
    name="law",
    settings=settings_with(
        candidate="native:gamma=4,rule=rejection",
        probe_every=SELDOM,
        profile="quick",
        sampled=AUTO,
    ),
    schedules=("law",),
)
"""Sampled by a rule that promises the target's distribution and not its tokens."""


SERVED = Rig(
    name="served",
    settings=settings_with(setup=msgspec.structs.replace(SETUP, batch_size=FEW_ROWS)),
    schedules=tuple(SERVICES),
)
"""Asked as a server is, and compared with what each request is answered alone."""


def speed_rig(engine: str) -> Rig:
    """Many prompts and no second asking; the sound candidate drafts like the faulty one.

    Sampled cases are drawn by the rejection rule, too: a worse drafter must not be accused there.
    With another drafter than the pair's model they are left out: of what is looked up in sampled
    text, and of a small head's drafts there, too few are right for the distribution to be tested.
    """
    by_model = "drafter" not in EngineSpec.parse(engine).options
    return Rig(
        name=f"speed-{''.join(filter(str.isalnum, engine))}",
        settings=settings_with(
            candidate=engine,
            probe_every=SELDOM,
            profile="quick",
            sampled=AUTO if by_model else None,
        ),
        schedules=("drafts", "law") if by_model else ("drafts",),
        compares_drafts=True,
    )


def rig_of(entry: Fault) -> Rig:
    """The rig that a fault or control is run on: over the pair with heads for drafters of these."""
    rig = _rig_of(entry)
    if EngineSpec.parse(entry.engine).options.get("drafter") not in HEADS:
        return rig
    setup = msgspec.structs.replace(rig.settings.setup, pair=WITH_HEADS)
    settings = msgspec.structs.replace(rig.settings, setup=setup)
    return msgspec.structs.replace(rig, name=f"{rig.name}-heads", settings=settings)


def _rig_of(entry: Fault) -> Rig:
    if entry.serves:
        return SERVED
    if entry.caught_by == "acceptance":
        return speed_rig(entry.engine)
    if EngineSpec.parse(entry.engine).options.get("rule") in BY_DISTRIBUTION:
        return DISTRIBUTION
    if issubclass(entry.decoder, Recurrent):
        return RECURRENT
    return UNPROMISED if "width=" in entry.engine else STANDARD


@functools.cache
def suites_of(names: tuple[str, ...], *, seed: int, opened: bool) -> tuple[Suite, ...]:
    """Schedules by name, written for the bundled pair, with an opener or without."""
    encode, eos = writing()
    written = (schedule(name, seed=seed, encode=encode, eos=eos) for name in names)
    return tuple(map(open_with_one_token, written) if opened else written)


@functools.cache
def services_of(names: tuple[str, ...], *, seed: int) -> tuple[Service, ...]:
    """Schedules of services by name, written for the bundled pair."""
    encode, eos = writing()
    return tuple(service(name, seed=seed, encode=encode, eos=eos) for name in names)


def writing() -> tuple[Encode, int]:
    """The bundled pair's tokenizer, and the id that ends a text."""
    from equivcheck.pairs.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(PAIR)

    def encode(text: str) -> Sequence[int]:
        ids: Sequence[int] = tokenizer(text)["input_ids"]
        return ids

    return encode, tokenizer.eos_token_id


def sound_settings(rig: Rig) -> Settings:
    """To capture what is replayed: the target, and a sound candidate only where one is compared."""
    candidate = rig.settings.candidate if rig.compares_drafts else rig.settings.target
    return msgspec.structs.replace(
        rig.settings,
        candidate=candidate,
        probe_every=SELDOM,
        rescore_every=SELDOM,
        sampled=None,
    )


def against(rig: Rig, entry: Fault, *, sound: Path, brief: bool) -> Settings:
    """The rig's settings with a fault for a candidate, and everybody else replayed.

    Where it is brief, only the opener of each schedule is asked again. Tokens are drawn in several
    budgets, and each is looked at several times.
    """
    replayed = {"target": f"replay:file={sound},arm={TARGET_ARM}"}
    if rig.settings.control is not None:
        replayed["control"] = f"replay:file={sound},arm={CONTROL}"
    settings = msgspec.structs.replace(rig.settings, candidate=entry.candidate, **replayed)
    if brief:
        settings = msgspec.structs.replace(settings, probe_every=SELDOM)
    return msgspec.structs.replace(settings, sampled_tokens=budget_of(entry))


def budget_of(entry: Fault) -> int:
    """Tokens to draw before it is decided whether to draw on.

    As many as the rig's profile takes to pass a sound distribution, and at least an eighth of all.
    """
    return min(entry.draws, max(PROFILES[DISTRIBUTION.settings.profile].tokens, entry.draws // 8))
