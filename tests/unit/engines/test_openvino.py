"""What OpenVINO says of a draft model's drafts, and what is asked of its settings; no OpenVINO."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from equivcheck.core.errors import SettingsError
from equivcheck.core.generation import DraftCounts
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.openvino import OpenvinoEngine, OpenvinoOptions, counts_of


def metrics(*, emitted: list[int], rejected: int, accepted: int) -> Any:
    return SimpleNamespace(
        get_num_rejected_tokens=lambda: rejected,
        get_num_accepted_tokens=lambda: accepted,
        main_model_metrics=SimpleNamespace(raw_metrics=SimpleNamespace(m_batch_sizes=emitted)),
    )


def test_slots_follow_from_the_tokens_of_each_step() -> None:
    assert counts_of(metrics(emitted=[1, 3, 1, 5], rejected=6, accepted=6)) == DraftCounts(
        drafted=12, accepted=6, steps=4, accepted_by_slot=(2, 2, 1, 1)
    )


def test_slots_that_do_not_add_up_are_not_told() -> None:
    cut = counts_of(metrics(emitted=[1, 3, 1, 2], rejected=6, accepted=6))
    assert cut == DraftCounts(drafted=12, accepted=6, steps=4)


def test_a_draft_model_has_to_be_a_file_that_openvino_reads() -> None:
    engine = OpenvinoEngine.__new__(OpenvinoEngine)
    engine.options = OpenvinoOptions(mode="draft_model")
    engine.setup = EngineSetup(pair="tiny")
    with pytest.raises(SettingsError, match=r"no draft as a GGUF file; name one as TARGET\.gguf"):
        engine.draft()
