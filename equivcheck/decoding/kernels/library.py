"""Builds and loads the project's kernels for a CPU, once a machine, and says why where it cannot.

They are C++ in the folder `cpu` and need AVX-512 and a compiler. A second of compiling is paid when
they are first used; what it made is kept in the cache folder under what it was made from.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch

from equivcheck.core.cache import cache_folder, made_once
from equivcheck.core.errors import PairError

SOURCES = Path(__file__).parent / "cpu"
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-w"),
    # Or the compiler might round here once and there twice.
    "-ffp-contract=off",
)
COMPILERS = ("g++", "clang++")
SECONDS = 120.0
DTYPES = (torch.float32, torch.bfloat16)
NAME = "kernels.so"


@functools.cache
def missing_for_compiled(dtype: torch.dtype) -> str | None:
    """Why the compiled kernels cannot run here in a dtype; None: they can."""
    if missing := unsuited(dtype) or uncompiled(dtype):
        return missing
    has = hasattr(kernels(), f"linear_{str(dtype).removeprefix('torch.')}")
    return None if has else f"this CPU has no AVX-512 for {dtype}"


@functools.cache
def missing_for_tiles(dtype: torch.dtype) -> str | None:
    """Why products in a dtype cannot run on AMX tiles here; None: they can."""
    if dtype != torch.bfloat16:
        return f"they are not written for {dtype}"
    if missing := missing_for_compiled(dtype):
        return missing
    lent = hasattr(kernels(), "may_use_tiles") and kernels().may_use_tiles()
    return None if lent else "this CPU, compiler or kernel has no AMX for bf16"


def unsuited(dtype: torch.dtype) -> str | None:
    """Why they are not even tried: the dtype, or the machine, is none that they are written for."""
    if dtype not in DTYPES:
        return f"they are not written for {dtype}"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "they are written for Linux on x86-64"
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return "this CPU has no AVX-512"
    return None


@functools.cache
def uncompiled(dtype: torch.dtype) -> str | None:
    """Why they could not be compiled on a machine that they are written for; else None."""
    if unsuited(dtype):
        return None
    try:
        kernels()
    except (OSError, PairError, subprocess.SubprocessError) as error:
        return f"the project's cannot be compiled: {str(error).splitlines()[0]}"
    return None


@functools.cache
def kernels() -> ctypes.CDLL:
    """The library, compiled if it is not in the cache.

    Raises:
        OSError: there is no compiler, or the library cannot be loaded.
        PairError: the cache cannot be written.
        subprocess.SubprocessError: the compiler failed.
    """
    compiler = compiler_path()
    folder = cache_folder() / "kernels" / digest(compiler)
    made_once(folder, lambda into: build(compiler, into / NAME))
    # torch's own OpenMP, which is loaded already, serves both: threads are shared.
    return ctypes.CDLL(str(folder / NAME))


def compiler_path() -> str:
    """Path of the compiler in ``$CXX``, and no other where that is set; else the first there is.

    Raises:
        FileNotFoundError: there is none.
    """
    names = [os.environ["CXX"]] if "CXX" in os.environ else list(COMPILERS)
    for found in map(shutil.which, names):
        if found:
            return found
    raise FileNotFoundError(f"there is no C++ compiler ({' or '.join(names)})")


def digest(compiler: str) -> str:
    """Digest of the sources, the compiler and what `-march=native` stands for on this machine."""
    target = [compiler, "-march=native", "-Q", "--help=target"]
    if "clang" in Path(compiler).name:
        target = [compiler, "-march=native", "-###", "-x", "c++", "-"]
    asked = subprocess.run(
        target, capture_output=True, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, check=True, timeout=SECONDS
    )
    made_of = hashlib.sha256(" ".join(FLAGS).encode() + version.stdout)
    made_of.update(asked.stdout + asked.stderr)
    for source in sorted(SOURCES.iterdir()):
        made_of.update(source.read_bytes())
    return made_of.hexdigest()[:32]


def build(compiler: str, into: Path) -> None:
    """Compile the kernels into one library.

    Raises:
        subprocess.CalledProcessError: the compiler failed.
    """
    command = [compiler, *FLAGS, str(SOURCES / "kernels.cpp"), "-o", str(into)]
    subprocess.run(
        command, capture_output=True, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )
