"""``python -m tests.wheel DIST``: what a new user meets, from the built packages.

`make dist` runs it. Installs the wheel in a clean environment, gates two servers on a file of
prompts in a folder without a checkout, and the bundled pair with the packages of this environment.
Prints sizes and seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

from tests.unit.source import ROOT

PROMPTS = ("The harbour was quiet and", "SELECT name FROM", "Dear team,", "def area(w, h):")
SMOKE = ("run", "suites/smoke.jsonl")
TINY_V2 = ("target", "draft", "eagle3", "mtp")
EQUIVALENT, COULD_NOT_RUN = 0, 2


class WheelError(Exception):
    """The packages are not what users should get."""


def say(text: str) -> None:
    """A line of the report."""
    sys.stdout.write(f"== {text}\n")
    sys.stdout.flush()


def checked(holds: bool, what: str) -> None:
    """Go on where something holds.

    Raises:
        WheelError: it does not.
    """
    if not holds:
        raise WheelError(what)


def megabytes(folder: Path) -> float:
    """What the files of a folder hold, 10⁶ bytes."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def environment(place: Path, *, borrowed: bool = False) -> Path:
    """A new environment's Python; ``borrowed``: it sees the packages of this one too."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    if borrowed:
        [own] = place.glob("lib/python*/site-packages")
        seen = [path for path in sys.path if path.endswith("site-packages")]
        (own / "borrowed.pth").write_text("\n".join([*seen, ""]))
    return place / "bin" / "python"


def install(python: Path, *what: str) -> float:
    """Install packages; seconds."""
    before = time.monotonic()
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *what], check=True)
    return time.monotonic() - before


def gate(
    python: Path, arguments: Sequence[str], *, folder: Path
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the command line away from any checkout; what came of it, and seconds."""
    before = time.monotonic()
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python.parent / "equivcheck"), *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, time.monotonic() - before


@contextmanager
def servers(*specs: str) -> Iterator[list[str]]:
    """Servers of the bundled pair, each in a process of this environment; their URLs."""
    started: list[subprocess.Popen[str]] = []
    urls = []
    try:
        for spec in specs:
            command = [sys.executable, "-m", "tests.engines.native_server", spec]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            started.append(process)
            assert process.stdout is not None
            urls.append(process.stdout.readline().strip())
        yield urls
    finally:
        for process in started:
            process.terminate()
            process.wait()


def by_url(target: str, candidate: str) -> list[str]:
    """The command that gates one server against another."""
    return [
        *("run", "suites/prompts.jsonl"),
        *("--target", f"{target},dtype=float32", "--candidate", f"{candidate},dtype=float32"),
        *("--set", f"control={target},batch=1"),
    ]


def check_files(wheel: Path) -> None:
    """Suites, pair and templates come along, and nothing of the tests.

    Raises:
        WheelError: they do not.
    """
    names = set(ZipFile(wheel).namelist())
    suites = {f"equivcheck/{file.relative_to(ROOT)}" for file in (ROOT / "suites").rglob("*.jsonl")}
    checked(bool(suites) and suites <= names, f"{wheel.name} lacks {sorted(suites - names)}")
    models = [f"pairs/tiny/{role}/model.safetensors" for role in ("target", "draft")]
    models += [f"pairs/tiny_v2/{role}/model.safetensors" for role in TINY_V2]
    for part in (*models, "report/templates/report.css", "py.typed"):
        checked(f"equivcheck/{part}" in names, f"{wheel.name} lacks {part}")
    strangers = {name.partition("/")[0] for name in names} - {"equivcheck"}
    checked(all(".dist-info" in name for name in strangers), f"{wheel.name} has {strangers}")


def main(dist: Path) -> None:
    """Check what lies in the folder.

    Raises:
        WheelError: it is not what users should get.
    """
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    check_files(wheel)
    sizes = (f"{each.name}: {each.stat().st_size / 1e6:.1f} MB" for each in (wheel, sdist))
    say(", ".join(sizes))
    with tempfile.TemporaryDirectory() as name, servers("native:gamma=0", "native:gamma=4") as urls:
        folder = Path(name)
        bare = environment(folder / "bare")
        empty = megabytes(folder / "bare")
        seconds = install(bare, str(wheel.resolve()))
        size = megabytes(folder / "bare") - empty
        say(f"pip install equivcheck: {seconds:.0f} s, {size:.0f} MB")
        found = subprocess.run([str(bare), "-c", "import torch"], capture_output=True, check=False)
        checked(found.returncode != 0, "torch came with the core")
        place = folder / "elsewhere"
        place.mkdir()
        (place / "prompts.txt").write_text("".join(f"{line}\n" for line in PROMPTS))
        done, making = gate(bare, ["suite", "from", "prompts.txt"], folder=place)
        checked(done.returncode == 0, done.stderr)
        done, seconds = gate(bare, by_url(*urls), folder=place)
        say(f"two URLs: a suite in {making:.1f} s, exit {done.returncode} after {seconds:.1f} s")
        checked(done.returncode == EQUIVALENT, done.stdout + done.stderr)
        done, _ = gate(bare, SMOKE, folder=place)
        lines = done.stderr.strip().splitlines()
        say(f"the bundled pair without torch: exit {done.returncode}, {lines[-1]}")
        checked(
            done.returncode == COULD_NOT_RUN and "pip install 'equivcheck[native]'" in lines[-1],
            "no line that installs what is missing",
        )
        lent = environment(folder / "lent", borrowed=True)
        install(lent, "--no-deps", str(sdist.resolve()))
        done, seconds = gate(lent, SMOKE, folder=place)
        say(f"the bundled pair, from the sdist: exit {done.returncode} after {seconds:.1f} s")
        checked(done.returncode == EQUIVALENT, done.stdout + done.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
