"""``python -m tests.docs_commands``: run the commands that README and docs show, page by page.

Each page has a folder of its own under ``build/docs-commands``, in which the suites are;
``--short`` takes the first cases of most alone. A command fails where it exits with 2, which is a
wrong command or an engine that cannot be used, or with a code of no verdict. What is not run stands
in `NOT_RUN` with the reason.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.unit.source import ROOT

PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OURS = "equivcheck "
VERDICTS = (0, 1, 3)
FOLDER = ROOT / "build" / "docs-commands"

NOT_RUN = {
    "make ": "a target of the Makefile, which CI runs or which takes long",
    "git ": "of git",
    "vllm serve": "needs another engine",
    "lm_eval ": "needs another tool",
    "aiperf ": "needs another tool",
    "equivcheck compare old/profile_export.jsonl": "needs another tool's records",
    "equivcheck export reports/latest --mlflow": "needs another tool",
    "sbatch ": "needs a cluster",
    "equivcheck run --ray": "needs a cluster; tests/engines/test_ray.py has one",
    "CUDA_VISIBLE_DEVICES=": "needs GPUs",
    "wait": "waits for the lines before it",
    "#": "a line of a batch script",
    "test $?": "a line of a batch script",
    "eval ": "changes the shell",
    "tail ": "shows a file",
    "python -I -S repeat.py": "is run by tests/engines/test_bundle.py",
    'equivcheck run suites --out "$SCRATCH': "needs a cluster",
    "equivcheck score": "needs another tool's evaluations",
    "equivcheck bundle reports/latest": "shows what it would write, and exits with 2 until --yes",
    "equivcheck faults": "CI runs it with --quick; the others take up to hours",
    "equivcheck suite from requests.jsonl": "needs a file of the user's",
    "equivcheck bench": "measures for minutes; tests/unit/cli runs its options",
    "equivcheck advise reports/bench": "needs a measurement",
    "equivcheck run suites --pair files/target.gguf": "needs another engine",
    "equivcheck run suites/smoke.jsonl --target ngramspec": "needs the page's adapter",
    "equivcheck run suites/smoke.jsonl --out reports/runs/smoke --resume": "needs a stopped run",
    "equivcheck run suites --continue": "needs a whole run; tests/plugin has one",
}
"""Beginning of a command to why it is not run."""
LATEST = "reports/latest"
"""A run that pages take as given."""
FAILED = {"docs/triage.md": " --candidate native:gamma=4,fault=skip-first-check"}
"""Page to what is behind the command of that run, where the page is about one that failed."""
WHOLE = ("smoke", "borders")
"""Suites that ``--short`` leaves as they are; the first case of `borders` asks for one token."""
SERVERS = "http://127.0.0.1"


class Shown(NamedTuple):
    """One command of a page."""

    page: str
    words: str

    @property
    def ours(self) -> bool:
        """Whether it is one of this package's."""
        return self.words.startswith(OURS)

    @property
    def not_run(self) -> str | None:
        """Why it is not run; None: it is."""
        if SERVERS in self.words:
            return "needs servers"
        return next((why for start, why in NOT_RUN.items() if self.words.startswith(start)), None)


def shown() -> Iterator[Shown]:
    """The commands of all pages, in their order; continued lines are joined."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for kind, block in FENCE.findall(text):
            joined = re.sub(r"\\\n\s*", "", block)
            for line in joined.splitlines():
                words = line.removeprefix("$ ") if kind == "console" else line
                if kind == "console" and not line.startswith("$ "):
                    continue
                if words := re.split(r"\s{2,}#|\s#\s|;", words)[0].strip():
                    yield Shown(page, words)


def main() -> int:
    """Run what a pattern of pages fits; 1 where a command fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="Parts of pages' names; none: all.")
    parser.add_argument("--short", action="store_true", help="Only the first case of most suites.")
    given = parser.parse_args()
    wanted = given.pages
    failed = 0
    chosen = [each for each in shown() if not wanted or any(part in each.page for part in wanted)]
    for page in dict.fromkeys(each.page for each in chosen):
        folder = FOLDER / Path(page).stem
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if given.short:
            shorten(ROOT / "suites", folder / "suites")
        else:
            (folder / "suites").symlink_to(ROOT / "suites")
        asked = [each for each in chosen if each.page == page and each.ours and not each.not_run]
        if any(LATEST in each.words for each in asked):
            how = FAILED.get(page, "")
            asked.insert(0, Shown(page, f"equivcheck run suites/smoke.jsonl --out {LATEST}{how}"))
        failed += sum(not run(each, folder) for each in asked)
    return int(failed > 0)


def shorten(suites: Path, into: Path) -> None:
    """Suites with their first case, which find what a command does wrong in less time."""
    for file in sorted(suites.rglob("*.jsonl")):
        place = into / file.relative_to(suites)
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = lines if file.stem in WHOLE else lines[:2]
        place.write_text("".join(kept), encoding="utf-8")


def run(each: Shown, folder: Path) -> bool:
    """Run one in a page's folder; whether it did what it says."""
    began = time.monotonic()
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        [bin_folder / "equivcheck", *shlex.split(each.words)[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
    )
    fine = done.returncode in VERDICTS
    seconds = time.monotonic() - began
    mark = "ok" if fine else "FAILED"
    sys.stdout.write(f"{mark} {done.returncode} {seconds:.0f} s {each.page}: {each.words}\n")
    if not fine:
        sys.stdout.write(f"{done.stderr[-600:]}\n")
    sys.stdout.flush()
    return fine


if __name__ == "__main__":
    sys.exit(main())
