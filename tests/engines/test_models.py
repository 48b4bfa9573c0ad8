"""What is kept of models between engines: no more of them than the cache of models itself keeps."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from equivcheck.engines import models
from equivcheck.engines.models import ADOPTED_KEPT, found_reaches, probed, taxed

FOUND: dict[str, Callable[[Any], object]] = {
    "reaches": lambda model: found_reaches(model, rows=1, width=8, threads=1),
    "contract": lambda model: probed(model, rows=1, width=8, threads=1),
    "tax": lambda model: taxed(stock=model, locked=model, rows=1, width=8, threads=1),
}
CACHES = (found_reaches, probed, taxed)


class Model:
    """Stands for a model of any size."""


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Nothing is probed or timed; the widths that were asked to be timed."""
    timed: list[int] = []

    def step_seconds(model: object, *, rows: int, width: int) -> float:
        timed.append(width)
        return 1.0

    report = SimpleNamespace(threads=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(models, "sound_reaches", lambda model, **shape: (8,))
    monkeypatch.setattr(models, "probe_contract", lambda model, **shape: report)
    monkeypatch.setattr(models, "step_seconds", step_seconds)
    yield timed
    for cache in CACHES:
        cache.cache_clear()


@pytest.mark.usefixtures("times")
@pytest.mark.parametrize("find", FOUND.values(), ids=FOUND)
def test_what_was_found_out_lets_go_of_models_that_many_others_followed(
    find: Callable[[Any], object],
) -> None:
    first = Model()
    seen = weakref.ref(first)
    find(first)
    del first
    for _ in range(ADOPTED_KEPT - 1):
        find(Model())
    gc.collect()
    assert seen() is not None
    find(Model())
    gc.collect()
    assert seen() is None


def test_the_tax_is_measured_at_each_number_of_threads(
    times: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = Model()
    for threads in (1, 2, 1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        taxed(stock=model, locked=model, rows=1, width=8, threads=threads)
    assert times == [8, 1, 8, 1]
