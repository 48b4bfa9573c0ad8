from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
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


@pytest.fixture(autouse=True)
def products_by_element(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Triton's interpreter sum every element of a product in the same order.

    A GPU does. The interpreter leaves products to numpy, whose BLAS may compute the last rows of a
    block by another kernel: OpenBLAS does so with its Haswell and Zen kernels.
    """
    with contextlib.suppress(ImportError):
        from triton.runtime import interpreter

        def create_dot(self: Any, a: Any, b: Any, d: Any, *unused: object) -> Any:
            product = np.einsum("mk,kn->mn", a.data, b.data, dtype=d.data.dtype)
            return interpreter.TensorHandle(product + d.data, d.dtype.scalar)

        monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
