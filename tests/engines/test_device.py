"""Choosing a device, and saying what it is."""

from __future__ import annotations

import pytest
import torch

from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.device import choose_device, configure_arithmetic, device_facts


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device(EngineSetup()).type == expected


@pytest.mark.parametrize(
    ("device", "complaint"),
    [
        ("gpu", "'gpu' is no device; use auto, cpu, cuda"),
        ("mps", "'mps': engines compute on cpu or cuda here"),
        ("cuda:99", "'cuda:99', but torch sees \\d+ CUDA devices"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=f"setup.device: {complaint}"):
        choose_device(EngineSetup(device=device))


def test_threads_are_set_and_told() -> None:
    before = torch.get_num_threads()
    try:
        configure_arithmetic(EngineSetup(threads=1))
        facts = device_facts(EngineSetup(device="cpu"))
        assert facts == {"device": "cpu", "threads": "1"}
        configure_arithmetic(EngineSetup())
        assert torch.get_num_threads() == 1
        assert device_facts(EngineSetup(device="cpu", threads=3))["threads"] == "3"
    finally:
        torch.set_num_threads(before)
