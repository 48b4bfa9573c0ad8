"""Fetch and unpack the training packages. None is installed.

`pip download` asks a source archive for its metadata, which may run its build script; wheels and
Debian packages are only unpacked.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from equivcheck.core.errors import PairError
from training.packages import Package


def unpacked(package: Package, *, cache: Path) -> Path:
    """Folder with a package's files, fetched and checked on first use.

    Raises:
        PairError: the package cannot be had, or is not the one that was pinned.
    """
    folder = cache / f"{package.name}-{package.version}"
    if not folder.exists():
        archive = fetched(package, cache / "archives")
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        unpack(archive, partial)
        partial.rename(folder)
    return folder


def fetched(package: Package, folder: Path) -> Path:
    """The package's archive, checked."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = package.name.replace("-", "?").lower()
    pattern = f"{stem}[-_]{package.version}*"
    if not list(folder.glob(pattern)):
        download(package, folder)
    archive = next(iter(folder.glob(pattern)), None)
    if archive is None:
        raise PairError(f"fetching {package.name} {package.version} left no archive in {folder}")
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != package.sha256:
        raise PairError(
            f"{archive.name}: sha256 is {actual}, pinned is {package.sha256}; "
            f"the recipe is not reproducible with another file"
        )
    return archive


def download(package: Package, folder: Path) -> None:
    """Ask pip or apt for the archive."""
    if package.registry == "debian":
        command = ["apt-get", "download", f"{package.name}={package.version}"]
    else:
        kind = "--only-binary" if package.registry == "wheel" else "--no-binary"
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *(kind, ":all:", f"{package.name}=={package.version}"),
        ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise PairError(f"`{' '.join(command)}` failed: {result.stderr.strip()[-400:]}")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a wheel, a source archive or a Debian package."""
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    else:
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
