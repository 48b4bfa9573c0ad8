"""The command line that runs Python in bubblewrap: what of this machine is to be seen inside.

That is the interpreter, its standard library, the system's shared libraries and the code that
grades, all read-only, and one empty folder in memory, sized. There is no network, no other
process, no environment variable and no way to make namespaces of its own. Root becomes nobody.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from equivcheck.core.graders import GradingError

HOW_TO_INSTALL = "apt-get install bubblewrap, or your system's package of that name"
_HERE = Path(__file__).resolve().parent
_NOBODY = "65534"
_FOLDER = "/tmp"
"""The one that can be written to; bubblewrap needs it too."""
_STANDARD = Path(os.__file__).resolve().parent
_CACHE = "/etc/ld.so.cache"
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32")


def contained(command: list[str], *, folder_kib: int) -> list[str]:
    """``command``, which starts with this interpreter's options, to be run in bubblewrap.

    Raises:
        GradingError: bubblewrap, or what root needs beside it, is not installed.
    """
    bwrap = _found("bwrap")
    if not bwrap:
        raise GradingError(
            f"code is graded only in bubblewrap, which is not installed here: {HOW_TO_INSTALL}"
        )
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    seen, package, covered = [*_seen(python)], [*_package()], _installed()
    cover = [part for path in covered for part in ("--tmpfs", path)]
    close = [part for path in (*covered, "/") for part in ("--remount-ro", path)]
    inner = [
        *(bwrap, "--unshare-all", "--unshare-user", "--disable-userns"),
        *("--uid", _NOBODY, "--gid", _NOBODY),
        *("--die-with-parent", "--new-session", "--clearenv"),
        *(*seen, *cover, *package),
        *("--size", str(folder_kib * 1024), "--tmpfs", _FOLDER, *close),
        *("--chdir", _FOLDER, "--", python, *command),
    ]
    if os.geteuid() != 0:
        return inner
    # Root is bound by no limit on processes, so that it has to become somebody else; who may then
    # not enter the folder that root's interpreter lies in, unless it is shown elsewhere.
    setpriv = _found("setpriv")
    if not setpriv:
        raise GradingError("as root, code is graded only with setpriv, of the package util-linux")
    tools = {str(Path(tool).parent) for tool in (bwrap, setpriv)}
    return [
        *(bwrap, "--die-with-parent", *seen, *package, *_shown(tools)),
        *("--bind", "/proc", "/proc", "--dir", _FOLDER, "--", setpriv),
        *("--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--"),
        *inner,
    ]


def _found(tool: str) -> str | None:
    path = shutil.which(tool)
    return path and os.path.realpath(path)


def _seen(python: str) -> Iterator[str]:
    libraries = [Path(folder) for folder in _LIBRARIES if Path(folder).is_dir()]
    links = [folder for folder in libraries if folder.is_symlink()]
    shown = {*libraries, Path(sys.base_prefix, "lib"), _STANDARD, Path(python), Path(_CACHE)}
    yield from _shown(str(path) for path in shown.difference(links) if path.exists())
    for link in links:
        yield from ("--symlink", str(link.readlink()), str(link))
    yield from ("--dir", "/dev", "--dev-bind", "/dev/null", "/dev/null")


def _package() -> Iterator[str]:
    """What of this package is imported inside."""
    parts = ("__init__.py", "grading/__init__.py", "grading/inside")
    yield from _shown(str(_HERE.parent / part) for part in parts)


def _shown(paths: Iterable[str]) -> Iterator[str]:
    # Folders before what lies in them; those above are made here, open to all, as bubblewrap itself
    # would make them for the owner alone.
    for path in sorted(paths):
        for parent in list(Path(path).parents)[-2::-1]:
            yield from ("--dir", str(parent))
        yield from ("--ro-bind", path, path)


def _installed() -> list[str]:
    """What is installed beside the standard library, and is covered."""
    homes, names = (_STANDARD, _STANDARD.parent / "python3"), ("site-packages", "dist-packages")
    return [str(home / name) for home in homes for name in names if (home / name).is_dir()]
