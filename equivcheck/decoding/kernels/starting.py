"""Starting a kernel while the one before it is still at work, on GPUs that can.

A decoding step is hundreds of kernels one after the other, most of a few microseconds, and each
would begin only when the last program of the one before has left. Since Hopper a kernel may say
that the next one can be started, and that one waits, inside, for what it needs (programmatic
dependent launch, CUDA Programming Guide). What it does not need, such as weights, it asks for
before it waits, at a time when the memory has little else to do.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import triton
import triton.language as tl

FIRST = (9, 0)
"""Compute capability of the first GPUs that can."""


@functools.cache
def starts_ahead(device: torch.device) -> bool:
    """Whether kernels may be started ahead on a device."""
    if device.type != "cuda" or torch.version.cuda is None:
        return False
    return torch.cuda.get_device_capability(device) >= FIRST


def starting(device: torch.device, *, ahead: bool) -> dict[str, Any]:
    """How to launch a kernel whose `AHEAD` says that it begins with `take_turn`."""
    if ahead and starts_ahead(device):
        return {"AHEAD": True, "launch_pdl": True}
    return {"AHEAD": False}


@triton.jit
def take_turn():
    """Wait until all kernels before have finished and what they wrote is there; call the next.

    Every program of a kernel has to come by here before it reads or writes what others do: a kernel
    vouches for those before it by having waited for them.
    """
    tl.extra.cuda.gdc_wait()
    tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def fetch(pointers):
    """Have the L2 cache fetch the lines that hold these addresses, all of them valid ones."""
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.b32 $0, 0;",
        "=r,l",
        [pointers],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
