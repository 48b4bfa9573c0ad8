"""Read the rows of a data set by Hugging Face's own library: from its hub, a folder or a file."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equivcheck.conversion.read import ReadRecord
from equivcheck.core.errors import SuiteError, unknown_name

PREFIX = "hf:"
"""Before what ``load_dataset`` takes: a name on the hub, or a folder of data files."""
FILES = {".parquet": "parquet", ".arrow": "arrow"}
_SAVED = ("dataset_dict.json", "dataset_info.json")
"""In a folder that ``save_to_disk`` wrote."""


def is_dataset(path: Path) -> bool:
    """Whether a name or path is read here, and not as lines or a document of JSON."""
    return str(path).startswith(PREFIX) or path.suffix in FILES or _is_saved(path)


def rows_of(
    path: Path, *, config: str | None = None, split: str | None = None
) -> Iterator[ReadRecord]:
    """The rows in their order, as records.

    Args:
        path: What `is_dataset` said yes to.
        config: Of a data set that has several configurations.
        split: None: the only one there is.

    Raises:
        SuiteError: it cannot be loaded, or has several splits and none is named.
        ModuleNotFoundError: the library is not installed.
    """
    rows = _split_of(path, _loaded(path, config=config), split=split)
    for number, row in enumerate(rows, start=1):
        yield ReadRecord(f"row {number}", {key: _plain(value) for key, value in row.items()})


def _is_saved(path: Path) -> bool:
    return any((path / name).is_file() for name in _SAVED)


def _loaded(path: Path, *, config: str | None) -> Any:
    import datasets

    datasets.disable_progress_bars()
    name = str(path)
    try:
        if name.startswith(PREFIX):
            return datasets.load_dataset(name.removeprefix(PREFIX), config)
        if _is_saved(path):
            return datasets.load_from_disk(name)
        return datasets.load_dataset(FILES[path.suffix], data_files=name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        said = " ".join(str(error).split())
        raise SuiteError(f"{path}: cannot be loaded: {said[:500]}") from error


def _split_of(path: Path, loaded: Any, *, split: str | None) -> Any:
    if not isinstance(loaded, dict):
        return loaded
    if split is None:
        if len(loaded) > 1:
            raise SuiteError(f"{path}: it has {', '.join(loaded)}; name one with --split")
        return next(iter(loaded.values()))
    if split not in loaded:
        raise SuiteError(f"{path}: {unknown_name('split', split, loaded)}")
    return loaded[split]


def _plain(value: Any) -> Any:
    """What JSON has as it is; a time as text; anything else, such as an image, as its type."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return f"({type(value).__name__})"
