"""What a fault is held against, and what it takes to run it at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from equivcheck.core.settings import AUTO
from equivcheck.fault_matrix import rigs
from equivcheck.fault_matrix.rigs import LAW, lacking_head, rig_of
from equivcheck.faults.catalogue import find


def test_a_head_that_the_pair_does_not_bring_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = SimpleNamespace(target=SimpleNamespace(location=str(tmp_path / "target")))
    monkeypatch.setattr(rigs, "resolve", lambda name: target)
    assert lacking_head(find("mtp-depth-reused")) == "mtp"
    assert lacking_head(find("head-hidden-late")) == "eagle3"
    assert lacking_head(find("stale-draft-cache")) is None
    (tmp_path / "mtp").mkdir()
    (tmp_path / "mtp" / "config.json").touch()
    assert lacking_head(find("mtp-depth-reused")) is None


def test_other_drafters_than_a_model_are_compared_on_greedy_text_alone() -> None:
    models, heads = rig_of(find("stale-draft-cache")), rig_of(find("head-hidden-late"))
    assert models.compares_drafts
    assert heads.compares_drafts
    assert (models.schedules, heads.schedules) == (("drafts", "law"), ("drafts",))
    assert (models.settings.sampled, heads.settings.sampled) == (AUTO, None)
    assert rig_of(find("head-q-unmapped")) is LAW
