"""What is in a model's safetensors, read from their headers: no tensor is loaded, no torch needed.

Also the digest of a model's weights, which says in a run's manifest what was tested.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from pathlib import Path

from msgspec import Struct

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.locate import locate, read_object
from equivcheck.pairs.sources import ModelSource


class Weights(Struct, frozen=True, kw_only=True):
    """The size of a checkpoint."""

    parameters: int
    size: int
    """Bytes on disk."""
    dtypes: tuple[str, ...]
    """As safetensors names them (F32, BF16, ...), most parameters first."""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would read, in order.

    A sharded checkpoint is read by its index; other files beside it are left alone.

    Raises:
        PairError: the index names no files.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        named = read_object(index).get("weight_map")
        files = list(named.values()) if isinstance(named, dict) else []
        if not files or not all(isinstance(name, str) for name in files):
            raise PairError(f"{visible(str(index))}: weight_map: names no files")
        return sorted({folder / name for name in files})
    return sorted(folder.glob("*.safetensors"))


@functools.lru_cache
def read_weights(folder: Path) -> Weights:
    """Add up the tensors of a checkpoint.

    Raises:
        PairError: a file is missing or is no safetensors file.
    """
    counts: dict[str, int] = {}
    size = 0
    for path in weight_files(folder):
        size += path.stat().st_size if path.is_file() else 0
        for dtype, parameters in _tensors(path):
            counts[dtype] = counts.get(dtype, 0) + parameters
    return Weights(
        parameters=sum(counts.values()),
        size=size,
        dtypes=tuple(sorted(counts, key=lambda dtype: -counts[dtype])),
    )


def _tensors(path: Path) -> list[tuple[str, int]]:
    """Dtype and element count of each tensor, from the JSON header after its 8-byte length."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("the file is cut off")
            header = json.loads(file.read(length))
        return [
            (str(entry["dtype"]), math.prod(map(int, entry["shape"])))
            for name, entry in header.items()
            if name != "__metadata__"
        ]
    except FileNotFoundError as error:
        raise PairError(
            f"{visible(str(path))}: the index names this file; it is missing"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PairError(
            f"{visible(str(path))}: no readable safetensors file: {visible(str(error))}"
        ) from error


def source_sha256(source: ModelSource) -> str:
    """sha256, hex, of the GGUF file a model comes from, or of its safetensors.

    Raises:
        PairError: the source cannot be had.
    """
    folder = locate(source)
    return folder.name if source.kind in ("gguf", "package") else weights_sha256(folder)


@functools.lru_cache
def weights_sha256(folder: Path) -> str:
    """sha256, hex, over the checkpoint's files in order."""
    total = hashlib.sha256()
    for path in weight_files(folder):
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                total.update(block)
    return total.hexdigest()
