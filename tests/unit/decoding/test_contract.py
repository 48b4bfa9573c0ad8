"""The probes hold on this machine's arithmetic, and fail where arithmetic depends on the slot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.probes import rolled
from tests.unit.decoding.models import static


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_the_contract_holds_for_a_padded_step(dtype: torch.dtype, rows: int) -> None:
    report = probe_contract(static(dtype), rows=rows, width=8, tokens=20, operations=True)
    assert report.failed == ()
    assert report.contract is not None
    assert f"{rows}x8x256" in report.contract
    assert report.probes[0].compared == rows * 20
    assert {probe.name for probe in report.probes} >= {"step", "gate_up", "attention"}


def test_nothing_is_promised_at_a_width_with_tails() -> None:
    assert probe_contract(static(), rows=1, width=5, tokens=8).contract is None


class SlotDependent(StaticModel):
    """Arithmetic whose last bit depends on the slot, as some matrix libraries' tails do."""

    def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
        hidden = super().forward(tokens, start, cache)
        hidden[:, 3:] = torch.nextafter(hidden[:, 3:], torch.tensor(torch.inf))
        return hidden


class NeighbourDependent(StaticModel):
    """Arithmetic that depends on what the other rows hold."""

    def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
        hidden = super().forward(tokens, start, cache)
        return hidden * (1 + 1e-6 * (tokens.sum() % 7))


@pytest.mark.parametrize("broken", [SlotDependent, NeighbourDependent])
def test_the_probe_fails_where_the_contract_does_not_hold(broken: type[StaticModel]) -> None:
    sound = static()
    model = broken(sound.architecture, sound.weights, positions=256)
    report = probe_contract(model, rows=4, width=8, tokens=20)
    assert report.contract is None
    assert report.failed[0].name == "step"
    assert 0 < report.failed[0].differing <= report.failed[0].compared


def test_an_operation_with_a_tail_is_named() -> None:
    def tailed(inputs: Tensor) -> Tensor:
        outputs = inputs * 3
        outputs[-1] = torch.nextafter(outputs[-1], torch.tensor(torch.inf))
        return outputs

    probe = rolled("gate_up", "[16, 4]", tailed, torch.randn(16, 4))
    assert probe.differing > 0
    assert rolled("gate_up", "[16, 4]", lambda x: x * 3, torch.randn(16, 4)).differing == 0
