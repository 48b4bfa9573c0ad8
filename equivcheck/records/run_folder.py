"""Which folder a run lives in: find one that was made, or see what is in the way of a new one.

Knows file names and headers, no models. What is in a records file is `records_file.py`'s business.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from equivcheck.core.atomic_write import writing
from equivcheck.core.cases import Suite
from equivcheck.core.errors import OtherRunError, RecordsError, unknown_name
from equivcheck.core.findings import Finding
from equivcheck.core.schedule import leaders_of
from equivcheck.core.settings import Settings
from equivcheck.core.validation import decoded
from equivcheck.records.journal import LONGEST_LINE, whole_lines
from equivcheck.records.records import TARGET, Evidence, SuiteRef
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.same_run import first_difference, with_stored_threads
from equivcheck.records.score_table_file import SCORES_NAME
from equivcheck.records.shards import Which, dealt

REPORTS = Path("reports")
LATEST = REPORTS / "latest"
LOCK_NAME = ".lock"

Start = Literal["new", "resumed"]


def find_run(name: str, *, reports: Path = REPORTS) -> Path:
    """The records file of a run, named by its folder, its file, or its id under ``reports``.

    Raises:
        RecordsError: there is no such run; suggests one that is there.
    """
    path = Path(name)
    if path.is_file():
        return path
    if (path / RECORDS_NAME).is_file():
        return path / RECORDS_NAME
    if path.is_dir():
        raise RecordsError(f"{name}: no {RECORDS_NAME} in this folder")
    known = dict(_runs(reports))
    if name in known:
        return known[name]
    raise RecordsError(f"{unknown_name('run', name, known)} (folders under {reports} are searched)")


def make_room(
    folder: Path,
    settings: Settings,
    suites: Sequence[Suite],
    *,
    which: Which | None = None,
    fresh: bool = False,
) -> Start:
    """How a run may start in ``folder``: by going on with an unfinished one, or anew.

    Call it while holding the `lock`. Nothing is touched: what a new run replaces goes by `clear` or
    `set_aside`, once that run has its first answer.

    Raises:
        OtherRunError: an unfinished run with other settings or cases is in the way; names the
            first field that differs.
    """
    records = folder / RECORDS_NAME
    if not records.is_file():
        return "new"
    found = None if fresh else _unfinished(records)
    if found is None:
        return "new"
    if other := other_than_asked(found, settings, suites, which=which):
        raise OtherRunError(f"{folder}: holds an unfinished run with {other}")
    return "resumed"


def other_than_asked(
    evidence: Evidence, settings: Settings, suites: Sequence[Suite], *, which: Which | None = None
) -> str | None:
    """In what a stored run differs from the one asked for, as half a sentence; None: in nothing.

    Looks at settings, suites and selected cases. Models, machine and versions are compared again
    when the engines are open.
    """
    header = evidence.header
    sizes = {ref.path: ref.cases for ref in header.suites}
    wanted = msgspec.structs.replace(
        header,
        settings=with_stored_threads(settings.in_full(), header),
        suites=tuple(
            SuiteRef(
                path=suite.path,
                workload=suite.workload,
                digest=suite.digest,
                cases=sizes.get(suite.path, len(suite.cases)),
            )
            for suite in suites
        ),
    )
    if other := first_difference(found=header, wanted=wanted):
        return f"other settings: {other.field} is {other.found!r} there, {other.wanted!r} here"
    asked = {suite.key(case) for suite in suites for case in suite.cases}
    stored = Which(header.shard.index, header.shard.of) if header.shard else None
    if stored != which:
        names = [f"shard {each.number} of {each.of}" if each else "all" for each in (stored, which)]
        return f"other cases: {names[0]} there, {names[1]} here"
    if which:
        asked = set(dealt(asked, of=which.of, leaders=leaders_of(suites))[which.number - 1])
    planned = {*header.planned.get(TARGET, ()), *(each.key for each in header.left_out)}
    for key in sorted(asked ^ planned):
        return f"other cases: {key} is {'not among them' if key in asked else 'one of them'}"
    return None


def is_unfinished(folder: Path) -> bool:
    """Whether there is a run to go on with.

    Raises:
        RecordsError: the records cannot be read.
    """
    records = folder / RECORDS_NAME
    return records.is_file() and _unfinished(records) is not None


def clear(folder: Path) -> None:
    """Remove a run's records and all that was rendered from them; nothing else in the folder.

    Raises:
        EquivcheckError: a file cannot be removed.
    """
    for stale in [
        folder / RECORDS_NAME,
        *folder.glob(f"{SCORES_NAME}*"),
        *folder.glob("report.*"),
    ]:
        with writing(stale):
            stale.unlink(missing_ok=True)


def set_aside(folder: Path) -> Path:
    """Move an unfinished run to a folder of its own beside ``folder``, and say where."""
    created = read_evidence(folder, scores=False).header.created
    stamp = "".join(character for character in created if character.isalnum())
    aside = folder.with_name(f"{folder.name}-unfinished-{stamp}")
    with writing(aside):
        aside.mkdir(parents=True, exist_ok=True)
        for name in (SCORES_NAME, RECORDS_NAME):
            if (folder / name).is_file():
                (folder / name).replace(aside / name)
    clear(folder)
    return aside


def shown(path: Path) -> str:
    """The path as one would type it here: relative where it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def name_by_folder(finding: Finding, folder: Path) -> Finding:
    """The finding with a repeat command that works from here, whatever folder the run is in."""
    try:
        words = shlex.split(finding.repeat or "")
    except ValueError:  # a quote in somebody's file name
        return finding
    place = {"replay": 2, "judge": 2, "report": 2, "compare": 3}.get("".join(words[1:2]))
    if words[:1] != ["equivcheck"] or place is None:
        return finding
    words[place] = shown(folder)
    return msgspec.structs.replace(finding, repeat=shlex.join(words))


@contextmanager
def lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder against other processes. The system lets go of it even after kill -9.

    Raises:
        RecordsError: another process holds it, and ``wait`` is false.
        EquivcheckError: the folder cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    held = FileLock(folder / LOCK_NAME, timeout=-1 if wait else 0)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire()
        except Timeout:
            raise RecordsError(
                f"{folder}: another process is writing a run there; wait for it, or name another "
                f"folder with --out"
            ) from None
    try:
        yield
    finally:
        held.release()


def _unfinished(records: Path) -> Evidence | None:
    """The run in a file without a verdict, if it got as far as its header."""
    if next(whole_lines(records), None) is None:
        return None
    evidence = read_evidence(records, scores=False)
    return None if evidence.sealed else evidence


def _runs(reports: Path) -> Iterator[tuple[str, Path]]:
    """Run ids and their files, of every folder up to two deep; unreadable ones are left out."""
    for pattern in (f"*/{RECORDS_NAME}", f"*/*/{RECORDS_NAME}"):
        for path in sorted(reports.glob(pattern)):
            if name := _run_id(path):
                yield name, path


class _Named(msgspec.Struct):
    run: str


_decode_name = msgspec.json.Decoder(_Named).decode


def _run_id(records: Path) -> str | None:
    try:
        with records.open("rb") as file:
            return decoded(_decode_name, file.readline(LONGEST_LINE)).run
    except (OSError, msgspec.DecodeError):
        return None
