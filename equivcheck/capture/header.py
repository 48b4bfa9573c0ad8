"""Write the head of a run: everything needed to repeat it and to tell it from another."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from equivcheck.capture.draws.plan import DrawPlan
from equivcheck.capture.environment import fingerprint, git_state
from equivcheck.capture.plan import Plan
from equivcheck.core.cases import Suite
from equivcheck.core.engine import Capabilities
from equivcheck.core.extras import has_torch
from equivcheck.core.settings import Order, Settings
from equivcheck.records.records import (
    CANDIDATE,
    REPEAT,
    SCHEMA,
    SERVES,
    SHUFFLED,
    Header,
    SuiteRef,
)


def make_header(
    settings: Settings,
    suites: Sequence[Suite],
    plan: Plan,
    draws: DrawPlan,
    *,
    arms: Mapping[str, Capabilities],
    order: Order,
    run: str,
    threads_timed: bool = False,
) -> Header:
    """The manifest of a run whose arms have said what they are."""
    pair = _pair_of(settings)
    git = git_state(Path.cwd())
    return Header(
        schema=SCHEMA,
        run=run,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings,
        suites=tuple(
            SuiteRef(
                path=suite.path,
                workload=suite.workload,
                digest=suite.digest,
                cases=len(suite.cases),
            )
            for suite in suites
        ),
        arms={
            **arms,
            SHUFFLED: arms[CANDIDATE],
            REPEAT: arms[CANDIDATE],
            **{served: arms[arm] for arm, served in SERVES.items() if served in plan.planned},
        },
        planned=plan.planned | draws.planned,
        eos_token_ids=pair.eos_token_ids,
        vocab_size=pair.vocab_size,
        environment=fingerprint() | pair.device,
        models=pair.digests,
        git_commit=git.commit if git else None,
        git_dirty=git.dirty if git else None,
        draw_seed=draw_seed(settings),
        order=order,
        threads_timed=threads_timed,
        left_out=plan.left_out,
        windows=pair.windows,
        schedules=plan.timed,
        shard=plan.shard,
    )


class PairFacts(NamedTuple):
    """What a header says of the pair, and of the device that its weights are on."""

    eos_token_ids: tuple[int, ...]
    vocab_size: int
    digests: dict[str, str]
    device: dict[str, str]
    windows: dict[str, int]


def _pair_of(settings: Settings) -> PairFacts:
    """Record of the loaded pair; of its files where no weights are read, or there is no torch to do
    it.

    Raises:
        PairError: the pair cannot be had.
    """
    setup = settings.setup
    if has_torch() and settings.scorer is None:
        from equivcheck.engines.device import device_facts, load_setup

        loaded = load_setup(setup)
        return PairFacts(
            loaded.eos_token_ids,
            loaded.vocab_size,
            loaded.digests,
            device_facts(setup),
            {role: each.window for role, each in loaded.extents.items() if each.window},
        )
    from equivcheck.pairs.files import locate_pair
    from equivcheck.pairs.sources import resolve
    from equivcheck.pairs.weights import digests

    source, device = resolve(setup.pair), dict[str, str]()
    if has_torch():
        from equivcheck.engines.device import device_facts

        device = device_facts(setup)
    if settings.scorer is None:
        files, known = locate_pair(setup.pair), digests(source)
    else:
        files = locate_pair(setup.pair, weights=False)
        known = {"target": f"{source.target.label} (weights not read)"}
    return PairFacts(files.eos_token_ids, files.vocab_size, known, device, {})


def draw_seed(settings: Settings) -> int:
    """The seed of the draws: the run's, so that it can be repeated; a fresh one before a release.

    A seed that was drawn with before is no new evidence.
    """
    return secrets.randbits(32) if settings.profile == "release" else settings.seed
