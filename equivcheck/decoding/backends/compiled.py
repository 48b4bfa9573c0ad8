"""The project's own kernels for a CPU: a step is read from memory once, and little else.

Between its products a step of a small model is a thousand operations of the library, which take two
thirds of its time. Here they are five calls a layer beside four products. A product reads a weight
as it lies, so weights are not held a second time. And a number does not depend on how many rows and
slots there are, so the batch-invariant contract costs nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from equivcheck.decoding.backends.interface import HeadNorms, KeyValues, Standing, Visibility
from equivcheck.decoding.kernels.library import kernels

ACTIVATION_NUMBERS = {"silu": 0, "gelu_pytorch_tanh": 1, "gelu": 2}
EVERYTHING = 2**62
"""A window that hides nothing."""
POINTER, INDEX = ctypes.c_void_p, ctypes.c_int64


class Window(ctypes.Structure):
    """`Window` of `pointwise.h`."""

    _fields_ = [
        *((name, POINTER) for name in ("heads", "rows", "positions", "cosines", "sines")),
        *((name, POINTER) for name in ("query_gain", "key_gain", "queries", "keys", "values")),
        *((name, INDEX) for name in ("tokens", "query_heads", "kv_heads", "size")),
        *((name, INDEX) for name in ("row_stride", "row_count", "position_count")),
        ("eps", ctypes.c_float),
    ]


class Attention(ctypes.Structure):
    """`Attention` of `attention.h`."""

    _fields_ = [
        *((name, POINTER) for name in ("queries", "keys", "values", "rows", "positions", "out")),
        *((name, INDEX) for name in ("windows", "width", "kv_heads", "shared", "size")),
        *((name, INDEX) for name in ("row_stride", "position_count", "window")),
    ]


class CompiledBackend:
    """Kernels in C++, of fp32 and bf16."""

    name = "compiled"
    batch_invariant = True
    ragged = True
    head_dtype: torch.dtype | None = None
    products: Mapping[torch.dtype, str] = {}
    """What the library's products in a dtype are called behind an underscore, if not by it."""

    def __init__(self) -> None:
        """Load nothing yet: the library is compiled when it is first used."""
        self.calls: dict[torch.dtype, Calls] = {}

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """One call for the whole batch."""
        return self.product(inputs, weight, bias, out=inputs.dtype)

    def project(self, hidden: Tensor, head: Tensor) -> Tensor:
        """In fp32 from the head as it is stored: products of bf16 numbers are exact in fp32."""
        return self.product(hidden, head, None, out=torch.float32)

    def product(
        self, inputs: Tensor, weight: Tensor, bias: Tensor | None, *, out: torch.dtype
    ) -> Tensor:
        """``inputs @ weight.T + bias``, stored as `out`.

        Raises:
            TypeError: the weight is of another dtype, and would be read wrongly.
        """
        if weight.dtype != inputs.dtype:
            raise TypeError(f"{inputs.dtype} inputs for a weight in {weight.dtype}")
        columns, inner = weight.shape
        inputs, weight = inputs.contiguous(), weight.contiguous()
        outputs = torch.empty((*inputs.shape[:-1], columns), dtype=out)
        calls = self.calls_of(inputs.dtype)
        call = calls.linear if out == inputs.dtype else calls.project
        call(
            inputs.data_ptr(),
            weight.data_ptr(),
            None if bias is None else bias.contiguous().data_ptr(),
            outputs.data_ptr(),
            inputs.numel() // inner,
            columns,
            inner,
        )
        return outputs

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm, rows shared out among threads."""
        return self.normed(hidden.contiguous(), None, gain, eps=eps)[1]

    def add_norm(
        self, hidden: Tensor, change: Tensor, gain: Tensor, *, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Sum and norm in one pass."""
        return self.normed(hidden.contiguous(), change.contiguous(), gain, eps=eps)

    def normed(
        self, hidden: Tensor, change: Tensor | None, gain: Tensor, *, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Hidden plus change, if there is one, and its norm."""
        width = hidden.shape[-1]
        summed = hidden if change is None else torch.empty_like(hidden)
        outputs = torch.empty_like(hidden)
        self.calls_of(hidden.dtype).add_norm(
            hidden.data_ptr(),
            None if change is None else change.data_ptr(),
            gain.contiguous().data_ptr(),
            summed.data_ptr(),
            outputs.data_ptr(),
            hidden.numel() // width,
            width,
            eps,
        )
        return summed, outputs

    def rotate_and_store(
        self,
        heads: Tensor,
        standing: Standing,
        into: KeyValues,
        *,
        norms: HeadNorms | None,
        eps: float,
    ) -> Tensor:
        """Norm, rotate and store in one pass over a token's heads.

        Raises:
            IndexError: a token stands outside the cache.
        """
        rows, width, count, size = heads.shape
        kv_heads = into.keys.shape[2]
        heads = heads.contiguous()
        queries = heads.new_empty((rows, width, count - 2 * kv_heads, size))
        in_rows = standing.rows.expand(rows, width).contiguous()
        positions = standing.positions.contiguous()
        cosines, sines = standing.cosines.contiguous(), standing.sines.contiguous()
        gains = (None, None) if norms is None else [each.contiguous() for each in norms]
        window = Window(
            *(each.data_ptr() for each in (heads, in_rows, positions, cosines, sines)),
            *(None if each is None else each.data_ptr() for each in gains),
            *(each.data_ptr() for each in (queries, into.keys, into.values)),
            *(rows * width, count - 2 * kv_heads, kv_heads, size),
            *(into.keys.stride(0), *into.keys.shape[:2]),
            eps,
        )
        if not self.calls_of(heads.dtype).rotate_and_store(ctypes.byref(window)):
            raise IndexError("a token stands outside the cache")
        return queries

    def gate(self, gate_up: Tensor, *, activation: str) -> Tensor:
        """Activate and multiply in one pass."""
        gate_up = gate_up.contiguous()
        width = gate_up.shape[-1] // 2
        outputs = gate_up.new_empty((*gate_up.shape[:-1], width))
        self.calls_of(gate_up.dtype).gate(
            gate_up.data_ptr(),
            outputs.data_ptr(),
            outputs.numel() // width,
            width,
            ACTIVATION_NUMBERS[activation],
        )
        return outputs

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Visibility:
        """No mask: the kernel goes by positions, which count from 0 in every cache."""
        del keys, shared, dtype
        return Visibility(positions.contiguous(), EVERYTHING if window is None else window)

    def attend(self, query: Tensor, seen: KeyValues, visible: Visibility) -> Tensor:
        """Attention to what each query sees; what lies behind is not read.

        Raises:
            IndexError: there are not as many rows as windows.
        """
        windows, width, heads, size = query.shape
        if seen.rows is not None and len(seen.rows) != windows:
            raise IndexError(f"{len(seen.rows)} rows for {windows} windows")
        query = query.contiguous()
        kv_heads = seen.keys.shape[2]
        outputs = query.new_empty((windows, width, heads * size))
        in_rows = None if seen.rows is None else seen.rows.contiguous()
        attention = Attention(
            *(each.data_ptr() for each in (query, seen.keys, seen.values)),
            *(None if each is None else each.data_ptr() for each in (in_rows, visible.positions)),
            outputs.data_ptr(),
            *(windows, width, kv_heads, heads // kv_heads, size),
            *(seen.keys.stride(0), seen.keys.shape[1], visible.window),
        )
        self.calls_of(query.dtype).attend(ctypes.byref(attention))
        return outputs

    def copied_bytes(self, weight: Tensor) -> int:
        """None: a weight is read as it lies."""
        del weight
        return 0

    def calls_of(self, dtype: torch.dtype) -> Calls:
        """The functions for a dtype."""
        if dtype not in self.calls:
            suffix = str(dtype).removeprefix("torch.")
            products = self.products.get(dtype, suffix)
            self.calls[dtype] = Calls.of(kernels(), suffix, products=products)
        return self.calls[dtype]


class AmxBackend(CompiledBackend):
    """The same with products in bf16 on AMX tiles, which add in another order.

    With a name of its own, since bits differ from those of a machine without AMX.
    """

    name = "amx"
    products = {torch.bfloat16: "tiles"}


class Calls(NamedTuple):
    """The library's functions for one dtype."""

    linear: Any
    project: Any
    add_norm: Any
    gate: Any
    rotate_and_store: Any
    attend: Any

    @classmethod
    def of(cls, library: ctypes.CDLL, suffix: str, *, products: str) -> Calls:
        """With the types of their arguments, without which ctypes cuts pointers."""
        product = [*[POINTER] * 4, *[INDEX] * 3]
        types: dict[str, list[Any]] = {
            "linear": product,
            "project": product,
            "add_norm": [*[POINTER] * 5, INDEX, INDEX, ctypes.c_float],
            "gate": [POINTER, POINTER, *[INDEX] * 3],
            "rotate_and_store": [POINTER],
            "attend": [POINTER],
        }
        found = []
        for name in cls._fields:
            kind = products if name in ("linear", "project") else suffix
            call = getattr(library, f"{name}_{kind}")
            call.argtypes = types[name]
            call.restype = ctypes.c_bool if name == "rotate_and_store" else None
            found.append(call)
        return cls(*found)
