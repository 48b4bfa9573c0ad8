"""What Triton needs of a machine; imports neither Triton nor anything that needs it."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch

OLDEST = (8, 0)
"""Compute capability of the first GPUs with all that the kernels use."""


@functools.cache
def missing_for_kernels(device: torch.device) -> str | None:
    """Why the project's own kernels cannot run on a device; None: they can.

    Triton compiles a launcher in C for each machine, which a slim container may lack the means for.
    """
    if device.type != "cuda":
        return "the device is no CUDA device"
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if torch.cuda.get_device_capability(device) < OLDEST:
        return f"the GPU has a compute capability below {OLDEST[0]}.{OLDEST[1]}"
    # What CC names is taken, and nothing else, even where that is missing.
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    if not any(map(shutil.which, compilers)):
        return f"there is no C compiler ({' or '.join(compilers)})"
    if not python_header().is_file():
        return "Python.h is not installed (python3-dev)"
    return None


def python_header() -> Path:
    """Where Triton looks for it: where Debian keeps its own, not what pip installs, are headers."""
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    return Path(sysconfig.get_paths(scheme)["include"], "Python.h")
