"""What is in a model's safetensors, read from their headers: no tensor is loaded, no torch needed.

Also the digest of a model's weights, which says in a run's manifest what was tested.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.locate import locate, read_object
from equivcheck.pairs.sources import ModelSource, PairSource


class CheckpointSize(Struct, frozen=True, kw_only=True):
    """The size of a checkpoint."""

    parameters: int
    size: int
    """Bytes on disk."""
    dtypes: tuple[str, ...]
    """As safetensors names them (F32, BF16, ...), most parameters first."""


class StoredTensor(Struct, frozen=True, kw_only=True):
    """One tensor by its header."""

    name: str
    dtype: str
    """As safetensors names it (F32, BF16, ...)."""
    parameters: int
    """How many elements."""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would read, in order.

    A sharded checkpoint is read by its index; other files beside it are left alone.

    Raises:
        PairError: the index names no files, or one outside of the folder.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        named = read_object(index).get("weight_map")
        files = list(named.values()) if isinstance(named, dict) else []
        if not files or not all(isinstance(name, str) for name in files):
            raise PairError(f"{visible(str(index))}: weight_map: names no files")
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise PairError(
                    f"{visible(str(index))}: weight_map: names a file outside of the model's "
                    f"folder: {visible(name)}"
                )
        return sorted({folder / name for name in files})
    return sorted(folder.glob("*.safetensors"))


@functools.lru_cache
def read_weights(folder: Path) -> CheckpointSize:
    """Add up the tensors of a checkpoint.

    Raises:
        PairError: as `stored_tensors` raises it.
    """
    counts: dict[str, int] = {}
    for tensor in stored_tensors(folder):
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.parameters
    return CheckpointSize(
        parameters=sum(counts.values()),
        size=sum(path.stat().st_size for path in weight_files(folder)),
        dtypes=tuple(sorted(counts, key=lambda dtype: -counts[dtype])),
    )


@functools.lru_cache
def stored_tensors(folder: Path) -> tuple[StoredTensor, ...]:
    """Every tensor of a checkpoint, file by file.

    Raises:
        PairError: a file is missing or is no safetensors file, or a tensor is stored twice.
    """
    found: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        for tensor in _tensors(path):
            if tensor.name in found:
                raise PairError(
                    f"{visible(str(path))}: tensor {visible(tensor.name)} is stored twice: which "
                    f"of the two is meant, no one can say"
                )
            found[tensor.name] = tensor
    return tuple(found.values())


def _tensors(path: Path) -> list[StoredTensor]:
    """Each tensor of a file, from the JSON header after its 8-byte length."""
    if path.exists() and not path.is_file():
        raise PairError(f"{visible(str(path))}: no regular file")
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if length > size:
                raise ValueError("the file is cut off")
            header = json.loads(file.read(length), object_pairs_hook=_once)
        return [
            _tensor(name, entry, space=size - 8 - length)
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names differ; a plain reader would keep the last of two."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name} is stored twice")
        found[name] = value
    return found


def _tensor(name: str, entry: Any, *, space: int) -> StoredTensor:
    """One entry of a header, compared with the bytes that the file has behind the header."""
    shape = [int(size) for size in entry["shape"]]
    begin, end = map(int, entry["data_offsets"])
    parameters = math.prod(shape)
    if end > space:
        raise ValueError(f"incomplete: {name} ends at byte {end} of {space}")
    # No format stores a number in less than one bit.
    if begin < 0 or min(shape, default=0) < 0 or parameters > 8 * (end - begin):
        raise ValueError(f"{name} has {parameters} elements in {end - begin} bytes")
    return StoredTensor(name=name, dtype=str(entry["dtype"]), parameters=parameters)


def source_sha256(source: ModelSource) -> str:
    """sha256, hex, of the GGUF file a model comes from, or of its safetensors.

    Raises:
        PairError: the source cannot be had.
    """
    folder = locate(source)
    return folder.name if source.kind in ("gguf", "package") else weights_sha256(folder)


def digests(source: PairSource) -> dict[str, str]:
    """Role (target, draft, tokenizer) to the model it comes from and that one's sha256.

    Raises:
        PairError: a model cannot be had.
    """
    roles = {"target": source.target, "tokenizer": source.tokenizer}
    if source.draft is not None:
        roles["draft"] = source.draft
    return {role: f"{model.label} sha256:{source_sha256(model)}" for role, model in roles.items()}


@functools.lru_cache
def weights_sha256(folder: Path) -> str:
    """sha256, hex, over the checkpoint's files in order."""
    total = hashlib.sha256()
    for path in weight_files(folder):
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                total.update(block)
    return total.hexdigest()
