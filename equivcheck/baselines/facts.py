"""Which facts of a run decide whether another may be compared with it. Pure.

Suites, prompts, models of the target, dtype, device kind and the shape of speculation have to be
equal: a change of acceptance would otherwise be theirs. The candidate and its draft may differ,
because they are what is under test, and so may the machine within one kind of device; both are
told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from equivcheck.core.engine import Capabilities
from equivcheck.core.settings import EngineSetup
from equivcheck.records.baseline_record import Baseline
from equivcheck.records.records import CANDIDATE, TARGET, Header

SUITE = "suites."
_SHAPE = ("num_speculative_tokens", "rule")
_SETTINGS = ("seed",)
_SETUP = ("dtype", "batch_size", "context")


class Differing(NamedTuple):
    """One fact in which two runs differ."""

    field: str
    base: str
    new: str

    @property
    def words(self) -> str:
        """``setup.dtype: float32 in the baseline, bfloat16 here``."""
        return f"{self.field}: {_short(self.base)} in the baseline, {_short(self.new)} here"


def facts_of(header: Header) -> dict[str, str]:
    """What has to be equal, by dotted field."""
    settings = header.settings
    facts = {f"{SUITE}{suite.workload}": suite.digest for suite in header.suites}
    facts |= {name: str(getattr(settings, name)) for name in _SETTINGS}
    facts |= {f"setup.{name}": str(getattr(settings.setup, name)) for name in _SETUP}
    if target := header.arms.get(TARGET):
        facts |= {"target": reference(target, settings.setup), "device": device_kind(target.device)}
    if candidate := header.arms.get(CANDIDATE):
        facts |= {f"candidate.{name}": str(getattr(candidate, name)) for name in _SHAPE}
    facts |= {f"models.{role}": digest for role, digest in header.models.items() if role != "draft"}
    return facts


def reference(target: Capabilities, setup: EngineSetup) -> str:
    """The engine that the target's answers come from, which may have been asked in another run.

    Where it ran at another precision or batch size, its record is not what it would answer here.
    """
    here = target.dtype == setup.dtype and target.batch_size == setup.batch_size
    return target.recorded if target.recorded and here else target.engine


def under_test(header: Header) -> dict[str, str]:
    """What may differ: it is what a comparison is about."""
    found = {}
    if candidate := header.arms.get(CANDIDATE):
        found["candidate"] = candidate.engine
    if draft := header.models.get("draft"):
        found["models.draft"] = draft
    if header.git_commit:
        found["commit"] = header.git_commit[:12] + ("*" if header.git_dirty else "")
    return found


def device_kind(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


def machine_of(environment: Mapping[str, str]) -> str:
    """The GPU where one was used, else the CPU and its cores."""
    device = environment.get("device", "cpu")
    if device not in ("cpu", ""):
        return device
    return f"{environment.get('cpu', 'unknown cpu')}, {environment.get('cores', '?')} cores"


def first_difference(*, base: Mapping[str, str], new: Mapping[str, str]) -> Differing | None:
    """The first fact that keeps two runs from being compared; None: they may be.

    Suites that only one side ran are left to the comparison, which counts what is missing.
    """
    for field in dict.fromkeys([*base, *new]):
        one_sided = field not in base or field not in new
        if one_sided and field.startswith(SUITE):
            continue
        if base.get(field) != new.get(field):
            return Differing(field, base.get(field, "not known"), new.get(field, "not known"))
    return None


def other_prompts(base: Mapping[str, str], new: Mapping[str, str]) -> Differing | None:
    """The cases that encode to other token ids in two runs; None: no case that both have.

    Args:
        base: Case key to the digest of its prompt.
        new: Likewise.
    """
    keys = [key for key, digest in base.items() if new.get(key, digest) != digest]
    if not keys:
        return None
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return Differing(f"prompt of {keys[0]}{more}", base[keys[0]], new[keys[0]])


class ComparedFacts(NamedTuple):
    """What of a run is told where it differs."""

    under_test: Mapping[str, str]
    environment: Mapping[str, str]


def compared_facts(header: Header) -> ComparedFacts:
    """Compared facts of a run that is not saved."""
    return ComparedFacts(under_test(header), header.environment)


def told_differences(base: Baseline, new: Baseline | ComparedFacts) -> tuple[Differing, ...]:
    """What differs without forbidding a comparison: what is under test, then where it ran."""
    return (
        *_differing(base.under_test, new.under_test),
        *_differing(base.environment, new.environment),
    )


def _differing(base: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Differing]:
    for field in dict.fromkeys([*base, *new]):
        if base.get(field) != new.get(field):
            yield Differing(field, base.get(field, "not there"), new.get(field, "not there"))


def _short(value: str) -> str:
    """Digests are told apart by their first characters."""
    kind, colon, digest = value.partition("sha256:")
    if colon:
        return f"{kind}sha256:{digest[:12]}"
    return value[:12] if len(value) == 64 and value.isalnum() else value
