"""Puts text into files, whole or not at all, and says in a sentence where nothing can be written.

Sits below everything that leaves files behind; what is in them is not its business.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def replace(path: Path, text: str) -> None:
    """Put ``text`` where ``path`` is, at once, so that nobody reads half of it.

    Raises:
        EquivcheckError: it cannot be written.
    """
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "a folder stands there")
        unfinished = path.with_name(f".{path.name}.part")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
