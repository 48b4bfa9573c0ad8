"""The folder where fetched and dequantised models are kept between runs, and how it is filled.

Anything put there appears whole or not at all, and two processes never make the same thing twice.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible

VARIABLE = "EQUIVCHECK_CACHE"


def cache_folder() -> Path:
    """``$EQUIVCHECK_CACHE``, or ``~/.cache/equivcheck``. Not created here."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "equivcheck"


def made_once(place: Path, make: Callable[[Path], None]) -> Path:
    """Return `place`, a folder, after `make` has filled it if it is not there yet.

    `make` gets an empty folder beside `place`, which takes its name when `make` has returned.

    Raises:
        PairError: the cache cannot be written; whatever `make` raises.
    """
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(place.name + ".lock")):
            if not place.is_dir():
                _fill(place, make)
    except OSError as error:
        raise PairError(
            f"the model cache cannot be written: {visible(str(error))}; {VARIABLE} names another "
            f"folder for it"
        ) from error
    return place


def _fill(place: Path, make: Callable[[Path], None]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{place.name[:16]}-", dir=place.parent))
    try:
        make(scratch)
        # Temporary folders and safetensors keep others out, who may share the cache.
        for path in (scratch, *scratch.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
