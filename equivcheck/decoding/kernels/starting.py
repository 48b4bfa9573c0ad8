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

HOPPER = 9
"""Compute capability, in whole numbers, of the GPUs where it has been measured."""
OPTION = "launch_pdl"
"""How Triton names it; before 3.4 it had no name for it."""


@functools.cache
def starts_ahead(device: torch.device) -> bool:
    """Whether kernels may be started ahead on a device."""
    if device.type != "cuda" or torch.version.cuda is None or not can_launch():
        return False
    return torch.cuda.get_device_capability(device)[0] == HOPPER


def can_launch() -> bool:
    """Whether this Triton has the option."""
    from triton.backends.nvidia.compiler import CUDAOptions

    return OPTION in CUDAOptions.__dataclass_fields__


def starting(device: torch.device, *, ahead: bool) -> dict[str, Any]:
    """How to launch a kernel whose `AHEAD` says that it begins with `take_turn`."""
    if ahead and starts_ahead(device):
        return {"AHEAD": True, OPTION: True}
    return {"AHEAD": False}


@triton.jit
def take_turn():
    """Wait until all kernels before have finished and what they wrote is there; call the next.

    Every program of a kernel has to come by here before it reads or writes what others do: a kernel
    vouches for those before it by having waited for them.
    """
    # Triton's own words for the two do not compile in all versions that are allowed.
    tl.inline_asm_elementwise(
        "griddepcontrol.wait; mov.b32 $0, 0;", "=r", [], dtype=tl.int32, is_pure=False, pack=1
    )
    tl.inline_asm_elementwise(
        "griddepcontrol.launch_dependents; mov.b32 $0, 0;",
        "=r",
        [],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


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
