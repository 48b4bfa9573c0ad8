"""What a fault is compared with, and over which pair."""

from __future__ import annotations

from pathlib import Path

from equivcheck.core.settings import AUTO
from equivcheck.engines.naming import EngineSpec
from equivcheck.fault_matrix.rigs import DISTRIBUTION, PAIR, WITH_HEADS, rig_of
from equivcheck.faults.catalogue import find
from equivcheck.pairs.sources import resolve


def test_what_runs_a_head_is_run_on_the_pair_that_brings_one() -> None:
    beside = Path(resolve(WITH_HEADS).target.location).parent
    for name in ("mtp-depth-reused", "head-hidden-late", "head-q-unmapped"):
        entry = find(name)
        assert rig_of(entry).settings.setup.pair == WITH_HEADS
        assert (beside / str(EngineSpec.parse(entry.engine).options["drafter"])).is_dir()
    assert rig_of(find("stale-draft-cache")).settings.setup.pair == PAIR


def test_other_drafters_than_a_model_are_compared_on_greedy_text_alone() -> None:
    models, heads = rig_of(find("stale-draft-cache")), rig_of(find("head-hidden-late"))
    assert models.compares_drafts
    assert heads.compares_drafts
    assert (models.schedules, heads.schedules) == (("drafts", "law"), ("drafts",))
    assert (models.settings.sampled, heads.settings.sampled) == (AUTO, None)
    assert rig_of(find("head-q-unmapped")).schedules == DISTRIBUTION.schedules
