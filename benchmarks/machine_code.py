"""What the machine code of a compiled Triton kernel takes of a GPU, and does there."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch
import triton

TURN = re.compile(r"\bgriddepcontrol\.(\w+)|\b(?:ld|st|atom|red)\.global|\bcp\.async\.c")
"""Waiting and letting start, by their words; reading and writing the device's memory, without."""


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel, compiled for one GPU at one shape."""

    kernel: str
    capability: int
    dtype: str
    head: int
    threads: int
    registers: int
    """A thread."""
    spilled: int
    """Bytes a thread that did not fit its registers."""
    shared: int
    """Bytes of shared memory."""
    shared_limit: int
    tensor_core: int
    """Instructions that multiply on tensor cores."""
    widest_load: int
    """Bytes of the widest load from global memory."""
    ahead: bool
    """Launched to start while the kernel before is at work."""
    takes_turn: bool
    """Waits for that one before it touches the device's memory, then lets the next start, once."""
    fetches: int
    """Instructions that have the L2 cache fetch something."""


def described(
    found: Any, kernel: str, *, capability: int, shared_limit: int, dtype: torch.dtype, head: int
) -> Compiled:
    """Read machine code's resources and instructions off a compiled kernel."""
    assembly = found.asm["ptx"]
    turn = TURN.findall(assembly)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(found.asm["cubin"])
        tool = triton.knobs.nvidia.cuobjdump.path
        command = (tool, "--dump-resource-usage", file.name)
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    resources = {name: int(value) for name, value in re.findall(r"\b([A-Z]+):(\d+)", usage)}
    widths = [4 * int(count) for count in re.findall(r"ld\.global\S*\.v(\d)\.[bu]32", assembly)]
    widths += [int(size, 0) for size in re.findall(r"cp\.async\.c\S+ .*?, (0x\w+|\d+)", assembly)]
    return Compiled(
        kernel=kernel,
        capability=capability,
        dtype=str(dtype).removeprefix("torch."),
        head=head,
        threads=32 * found.metadata.num_warps,
        registers=resources["REG"],
        spilled=resources["LOCAL"],
        shared=found.metadata.shared,
        shared_limit=shared_limit,
        tensor_core=len(re.findall(r"\b(?:mma|wgmma|tcgen05)\.\S*(?:sync|mma)", assembly)),
        widest_load=max(widths, default=0),
        ahead=bool(getattr(found.metadata, "launch_pdl", False)),
        takes_turn=turn[:2] == ["wait", "launch_dependents"] and not any(turn[2:]),
        fetches=assembly.count("prefetch.global.L2"),
    )
