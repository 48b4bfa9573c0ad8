"""Writes files whole or not at all, and says in a sentence where nothing can be written.

Sits below everything that leaves files behind; what is in them is not its business.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path

from equivcheck.core.errors import EquivcheckError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name ``path`` and the system's reason where what is done inside cannot be.

    Raises:
        EquivcheckError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        # "File exists" is what the system says where a file stands in the place of a folder.
        told = "not a folder" if isinstance(error, FileExistsError) else error.strerror or error
        raise EquivcheckError(f"{path}: cannot be written: {told}") from error


def replace(
    path: Path,
    content: str | bytes,
    *,
    durable: bool = False,
    just_before: Callable[[], object] | None = None,
) -> None:
    """Put ``content`` where ``path`` is, at once, so that nobody reads half of it.

    Args:
        path: Where it goes; what stands there stays until all is written.
        content: Text is written as UTF-8.
        durable: Whether a power cut, too, leaves the old or the new content whole.
        just_before: Called when all is written, before it takes its place.

    Raises:
        EquivcheckError: it cannot be written.
    """
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "a folder stands there")
        unfinished = path.with_name(f".{path.name}.part")
        with unfinished.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if just_before is not None:
            just_before()
        unfinished.replace(path)
