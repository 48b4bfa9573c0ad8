from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.decoding.emulated import Cuda, Event, Graph


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """Have recordings made for the device ``cuda``, of tensors that lie on the CPU."""
    acted = Cuda()
    replaced: dict[str, Any] = {
        "CUDAGraph": Graph,
        "Event": Event,
        "Stream": lambda device: acted,
        "current_stream": lambda device: acted,
        "empty_cache": lambda: None,
        "graph": acted.graph,
        "graph_pool_handle": object,
        "memory_reserved": lambda device: 0,
        "stream": contextlib.nullcontext,
    }
    for name, each in replaced.items():
        monkeypatch.setattr(torch.cuda, name, each)
    clear = "_cuda_clearCublasWorkspaces"
    monkeypatch.setattr(torch._C, clear, acted.clear_workspaces, raising=False)
    empty_like = torch.empty_like

    def unpinned(tensor: Tensor, *, pin_memory: bool = False, **options: Any) -> Tensor:
        return empty_like(tensor, **options)

    monkeypatch.setattr(torch, "empty_like", unpinned)
    return acted
