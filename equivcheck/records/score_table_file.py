"""The scores of a run on disk: one safetensors file, numbers as tensors, names in its metadata."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from equivcheck.core.atomic_write import replace
from equivcheck.core.errors import RecordsError
from equivcheck.core.escape import head, visible
from equivcheck.core.generation import Generation
from equivcheck.records.replays import as_columns, joined, nothing_replayed, taken_out
from equivcheck.records.score_table import BINS, CODES, FLAGS, WIDE, ScoreTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from equivcheck.records.records import ScoresRecord

SCORES_NAME = "scores.safetensors"
FORMAT = "equivcheck scores 1"
"""Value of the metadata's ``format``; another one is another file's."""
NAMES = {"keys": "keys", "alternatives": "alternatives", "draft_law": "draft_distribution"}
"""Metadata of the file by name, and the field of `ScoreTable` that each holds."""
REPLAYS = "replays"
"""The field that is several tensors, or none."""
ABOUT = "outputs"
"""Key of the metadata: `digest_of_outputs` of the scored. Older files have none."""


def write_scores(path: Path, table: ScoreTable, *, about: str | None = None) -> None:
    """Write the same bytes for the same table. A reader finds the old file or the new one.

    Args:
        path: Where it goes.
        table: The scores.
        about: `digest_of_outputs` of what was scored.

    Raises:
        EquivcheckError: the file cannot be written.
    """
    import numpy as np
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(getattr(table, name)) for name in column_names()}
    if table.replays is not None:
        tensors |= as_columns(table.replays)
    told = {name: json.dumps(getattr(table, field)) for name, field in NAMES.items()}
    told["format"] = FORMAT
    if about is not None:
        told[ABOUT] = about
    replace(path, in_order(save(tensors, metadata=told)), durable=True)


def in_order(file: bytes) -> bytes:
    """A safetensors file with its head sorted by name: the library leaves its order to chance.

    The head is JSON behind 8 bytes of its length, and is filled up with spaces to whole 8 bytes;
    offsets of tensors count from behind it.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    text = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[end:]


def digest_of_outputs(keys: Sequence[str], outputs: Mapping[str, Generation]) -> str:
    """SHA-256 over tokens and counters of some outputs, hex: all that their scores hang on.

    Raises:
        KeyError: there is no output of that key.
    """
    from equivcheck.core.packed import unpacked

    digest = hashlib.sha256()
    for key in keys:
        output = unpacked(outputs[key])
        steps = [(s.drafted, s.accepted, s.emitted, s.first_rejected) for s in output.steps]
        told = [each.draft_logprobs for each in output.steps if each.draft_logprobs is not None]
        left = [each for at in output.steps if (each := at.residual_log_weight) is not None]
        digest.update(
            msgspec.json.encode((key, output.token_ids, steps, *filter(None, (told, left))))
        )
    return digest.hexdigest()


def read_scores(path: Path, *, outputs: Mapping[str, Generation] | None = None) -> ScoreTable:
    """Read a table back.

    Args:
        path: Where it is.
        outputs: What it has to be about; None: anything.

    Raises:
        RecordsError: there is no such file, it is torn or another program's, its columns do not
            fit each other, or it is about other outputs; names the file and the column.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told = file.metadata() or {}
            stored = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in stored}
    except FileNotFoundError:
        raise RecordsError(f"{visible(str(path))}: there is no such file") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise RecordsError(
            f"{visible(str(path))}: cannot be read as scores: {visible(str(error))}"
        ) from error
    if told.get("format") != FORMAT:
        raise RecordsError(f"{visible(str(path))}: holds no scores in the format {FORMAT!r}")
    try:
        table = checked(tensors, told)
        if outputs is not None:
            refuse_other_outputs(table, told, outputs)
    except ValueError as error:
        raise RecordsError(f"{visible(str(path))}: {error}") from error
    return table


def refuse_other_outputs(
    table: ScoreTable, told: Mapping[str, str], outputs: Mapping[str, Generation]
) -> None:
    """Raise ValueError where a table is not about these outputs, as far as its file tells."""
    for key in table.keys:
        if key not in outputs:
            raise ValueError(f"holds scores of {head(key, cells=120)!r}, which was not drawn")
    if ABOUT in told and told[ABOUT] != digest_of_outputs(table.keys, outputs):
        raise ValueError("draws were changed after they were scored; draw them again with --fresh")


def kept_scores(
    folder: Path, scored: Sequence[ScoresRecord], outputs: Mapping[str, Generation]
) -> ScoreTable | None:
    """The scores in a run's folder; None where there are none.

    Args:
        folder: The run's.
        scored: Which files will do.
        outputs: The run's draws, as they have to be the ones that were scored.

    Raises:
        RecordsError: the file cannot be read, or is none of these.
    """
    path = folder / SCORES_NAME
    if not scored or not path.is_file():
        return None
    if digest_of(path) not in {each.sha256 for each in scored}:
        raise RecordsError(f"{path}: holds other scores than those of this run's draws")
    return read_scores(path, outputs=outputs)


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        RecordsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read: {error.strerror}") from error


def column_names() -> tuple[str, ...]:
    """Fields of `ScoreTable` that are tensors."""
    names = (field.name for field in dataclasses.fields(ScoreTable))
    return tuple(name for name in names if name not in (*NAMES.values(), REPLAYS))


def checked(tensors: dict[str, NDArray[Any]], told: dict[str, str]) -> ScoreTable:
    """Make a table of what a file holds.

    Raises:
        ValueError: something is missing, unknown, or of another shape or kind; names the column.
    """
    names = {name: parsed(told, name) for name in NAMES}
    replays = taken_out(tensors)
    columns = column_names()
    for name in columns:
        if name not in tensors:
            raise ValueError(f"column {name} is missing")
    for name in tensors:
        if name not in columns:
            raise ValueError(f"column {visible(name)} is unknown")
    keys, alternatives = names["keys"], names["alternatives"]
    starts = tensors["starts"]
    if starts.dtype != "int64" or starts.shape != (len(keys) + 1,):
        raise ValueError(
            f"column starts: {starts.dtype} of shape {starts.shape}, expected int64 of shape "
            f"{(len(keys) + 1,)} for {len(keys)} outputs"
        )
    if starts[0] != 0 or (starts[1:] < starts[:-1]).any():
        raise ValueError("column starts: does not rise from 0")
    rows = int(starts[-1])
    for name in columns:
        if name != "starts":
            check_column(name, tensors[name], rows=rows, alternatives=len(alternatives))
    if replays is not None and len(replays.came) != rows:
        raise ValueError(f"column replay_came: of {len(replays.came)} rows, expected {rows}")
    return ScoreTable(
        keys=keys,
        alternatives=alternatives,
        draft_distribution=names["draft_law"],
        replays=replays,
        **tensors,
    )


def parsed(told: dict[str, str], name: str) -> Any:
    """One field from the metadata: a name, or a tuple of names."""
    try:
        value = json.loads(told[name])
    except (KeyError, ValueError, RecursionError):
        raise ValueError(f"column {name} is missing or no JSON") from None
    if name == "draft_law":
        if not isinstance(value, str):
            raise ValueError(f"column {name}: no text")
        return value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"column {name}: no list of names")
    return tuple(value)


def check_column(name: str, values: NDArray[Any], *, rows: int, alternatives: int) -> None:
    """Raise ValueError unless a column has the shape and kind of its name."""
    shape: tuple[int, ...] = (rows,)
    if name in WIDE:
        shape = (rows, BINS)
    elif name == "log_ratio":
        shape = (rows, alternatives)
    kind = "bool" if name in FLAGS else "uint8" if name in CODES else "float32"
    if values.dtype != kind or values.shape != shape:
        raise ValueError(
            f"column {name}: {values.dtype} of shape {values.shape}, expected {kind} of shape "
            f"{shape}"
        )


def concatenate(tables: Sequence[ScoreTable]) -> ScoreTable:
    """One table of several, in order.

    Raises:
        ValueError: there are none, or they differ in alternatives or draft distribution.
    """
    import numpy as np

    if not tables:
        raise ValueError("no tables to concatenate")
    first = tables[0]
    for table in tables[1:]:
        for name in ("alternatives", "draft_distribution"):
            if getattr(table, name) != getattr(first, name):
                raise ValueError(
                    f"tables differ in {name}: {getattr(first, name)!r} and "
                    f"{getattr(table, name)!r}"
                )
    offsets = np.cumsum([0, *(table.rows for table in tables)])
    starts = [table.starts[:-1] + offset for table, offset in zip(tables, offsets, strict=False)]
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in column_names()
        if name != "starts"
    }
    replays = None
    if any(table.replays is not None for table in tables):
        replays = joined([table.replays or nothing_replayed(table.rows) for table in tables])
    return ScoreTable(
        keys=tuple(key for table in tables for key in table.keys),
        starts=np.concatenate([*starts, offsets[-1:]]).astype(np.int64),
        alternatives=first.alternatives,
        draft_distribution=first.draft_distribution,
        replays=replays,
        **columns,
    )
