"""Write the head of a run: everything needed to repeat it and to tell it from another."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from equivcheck.capture.draws.plan import DrawPlan
from equivcheck.capture.environment import fingerprint, git_state
from equivcheck.capture.plan import Plan
from equivcheck.core.cases import Suite
from equivcheck.core.engine import Capabilities
from equivcheck.core.settings import Order, Settings
from equivcheck.engines.device import device_facts, load_setup
from equivcheck.pairs.files import PairFiles, locate_pair
from equivcheck.pairs.load import LoadedPair
from equivcheck.pairs.sources import resolve
from equivcheck.records.records import CANDIDATE, REPEAT, SCHEMA, SHUFFLED, Header, SuiteRef


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
    pair: LoadedPair | PairFiles
    if settings.scorer is None:
        pair = loaded = load_setup(settings.setup)
        models = loaded.digests
        windows = {role: each.window for role, each in loaded.extents.items() if each.window}
    else:
        pair, windows = locate_pair(settings.setup.pair, weights=False), {}
        models = {"target": f"{resolve(settings.setup.pair).target.label} (weights not read)"}
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
        arms={**arms, SHUFFLED: arms[CANDIDATE], REPEAT: arms[CANDIDATE]},
        planned=plan.planned | draws.planned,
        eos_token_ids=pair.eos_token_ids,
        vocab_size=pair.vocab_size,
        environment=fingerprint() | device_facts(settings.setup),
        models=models,
        git_commit=git.commit if git else None,
        git_dirty=git.dirty if git else None,
        draw_seed=draw_seed(settings),
        order=order,
        threads_timed=threads_timed,
        left_out=plan.left_out,
        windows=windows,
    )


def draw_seed(settings: Settings) -> int:
    """The seed of the draws: the run's, so that it can be repeated; a fresh one before a release.

    A seed that was drawn with before is no new evidence.
    """
    return secrets.randbits(32) if settings.profile == "release" else settings.seed
