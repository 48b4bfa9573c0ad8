"""Read suite files: JSONL, a header line first, then one case a line.

Streams, so a file of a million lines costs its cases and nothing else. Every error names file,
line and field. What a case means is `cases.py`; nothing here knows models or tokenizers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Annotated, Any, Literal

import jsonlines
import msgspec
from msgspec import DecodeError, Meta, Struct, field

from equivcheck.core.bundled_suites import suite_place
from equivcheck.core.cases import Case, Message, Sampling, SharedPrefix, Suite, too_cold
from equivcheck.core.errors import SuiteError, did_you_mean
from equivcheck.core.foreign import SUITE, what_is
from equivcheck.core.graders import KINDS
from equivcheck.core.schedule import needed_by, samples_of, wrong_relations, wrong_samples
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits
from equivcheck.core.validation import decoded, explain

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is a broken file, not a prompt; bounds the memory one line can take."""

HEADER_EXAMPLE = '{"equivcheck": 1, "workload": "code", "description": "..."}'
_HEADER_KEY = b'"equivcheck"'


class HeaderError(SuiteError):
    """A file does not begin as a suite does: maybe it is something else."""


class SuiteHeader(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first line of a suite file."""

    equivcheck: Literal[1]
    """Version of the suite format."""
    workload: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
    description: str = ""
    distribution: bool = field(default=False, name="law")
    """Whether the distribution of its sampled cases is tested, by drawing each many times."""
    serving: ServingLimits | None = None
    """Limits of the service that its requests are put to, where an engine serves."""


_CASE_SHAPES: dict[str, type[Struct]] = {
    "": Case,
    "sampling": Sampling,
    "messages": Message,
    "shares_prefix_with": SharedPrefix,
    "arrives": Arrives,
    "give_up_after": Patience,
    "retry": Delay,
    # What a line is compared with whose kind of grader is missing or unknown.
    "grader": msgspec.defstruct("AnyGrader", [("kind", Literal[tuple(KINDS)])]),
}
_HEADER_SHAPES: dict[str, type[Struct]] = {"": SuiteHeader, "serving": ServingLimits}
_decode_header = msgspec.json.Decoder(SuiteHeader).decode
_decode_case = msgspec.json.Decoder(Case).decode


def load_suite(path: str | Path) -> Suite:
    """Read and check one suite file.

    Raises:
        SuiteError: the file cannot be read, or a line of it cannot be used; the message starts
            with ``path:line: field:``.
    """
    source = suite_place(Path(path))
    try:
        # Opening a pipe would wait for somebody to write into it.
        if not (S_ISREG(mode := source.stat().st_mode) or S_ISDIR(mode)):
            raise SuiteError(f"{path}: no regular file")
        with source.open("rb") as file:
            return _read(file, name=str(path))
    except HeaderError as error:
        told = what_is(source, instead_of=SUITE, otherwise=str(error))
        raise SuiteError(told) from error
    except FileNotFoundError:
        raise SuiteError(f"{path}: no such file{_similar_file(source)}") from None
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error


def load_suites(paths: Iterable[str | Path]) -> tuple[Suite, ...]:
    """Read suite files, each once, and of a folder every ``*.jsonl`` in it, by name.

    Raises:
        SuiteError: a file is unusable, a folder holds none, or two files define the same key.
    """
    suites: list[Suite] = []
    homes: dict[str, str] = {}
    for file in dict.fromkeys(file for path in paths for file in _files(Path(path))):
        suite = load_suite(file)
        for case, line in zip(suite.cases, suite.lines, strict=True):
            here, key = f"{suite.path}:{line}", suite.key(case)
            if (first := homes.setdefault(key, here)) != here:
                raise SuiteError(f"{here}: id: {key!r} is already defined at {first}")
        suites.append(suite)
    return tuple(suites)


def select(suites: Iterable[Suite], names: Iterable[str]) -> tuple[Suite, ...]:
    """Keep the cases named by key (``code/fib``) or by workload (``code``); drop empty suites.

    Cases that a kept one needs are kept too: turns before it, and cases that it names.

    Raises:
        SuiteError: a name fits nothing, so that a slip of the pen cannot select nothing.
    """
    every = tuple(suites)
    keys = {suite.key(case) for suite in every for case in suite.cases}
    workloads = {suite.workload for suite in every}
    wanted = set(names)
    for name in sorted(wanted - keys - workloads):
        hint = did_you_mean(name, [*workloads, *keys])
        raise SuiteError(f"no case or workload named {name!r}{hint}")
    kept = (_only(suite, wanted) for suite in every)
    return tuple(suite for suite in kept if suite.cases)


def _only(suite: Suite, wanted: set[str]) -> Suite:
    if suite.workload in wanted:
        return suite
    needed = needed_by(suite.cases, {case.id for case in suite.cases if suite.key(case) in wanted})
    chosen = [
        (case, line)
        for case, line in zip(suite.cases, suite.lines, strict=True)
        if case.id in needed
    ]
    return msgspec.structs.replace(
        suite, cases=tuple(case for case, _ in chosen), lines=tuple(line for _, line in chosen)
    )


def _files(path: Path) -> list[Path]:
    place = suite_place(path)
    if not place.is_dir():
        return [path]
    if files := sorted(place.glob("*.jsonl")):
        return [path / file.name for file in files]
    raise SuiteError(f"{path}: no suite files (*.jsonl) in this folder")


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    return did_you_mean(path.name, [file.name for file in path.parent.glob("*.jsonl")])


class _Lines:
    """The lines of a file as bytes, counted and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.number = 0
        self.start = 0
        """Byte offset of the current line."""
        self.current = b""

    def __iter__(self) -> Iterator[bytes]:
        while line := self.file.readline(MAX_LINE_BYTES):
            self.start += len(self.current)
            self.digest.update(line)
            self.current = line
            self.number += 1
            yield line

    @property
    def torn(self) -> bool:
        """Whether the current line lacks its end."""
        return not self.current.endswith(b"\n")


def _read(file: IO[bytes], *, name: str) -> Suite:
    lines = _Lines(file)
    header: SuiteHeader | None = None
    cases: list[Case] = []
    numbers: list[int] = []
    seen: dict[str, int] = {}

    def decode(text: str | bytes) -> SuiteHeader | Case:
        return decoded(_decode_case, text) if header else decoded(_decode_header, text)

    reader: Any = jsonlines.Reader(lines, loads=decode)
    try:
        for record in reader.iter(skip_empty=True):
            where = f"{name}:{lines.number}"
            if isinstance(record, SuiteHeader):
                header = record
                if header.workload == "run":
                    raise SuiteError(f"{where}: workload: 'run' names the whole run in reports")
                continue
            _check_prompt(record, where)
            if cold := too_cold(record.sampling.temperature):
                raise SuiteError(f"{where}: sampling.temperature: {cold}")
            if wrong := wrong_samples(record):
                raise SuiteError(f"{where}: {wrong}")
            for case in samples_of(record):
                if (first := seen.setdefault(case.id, lines.number)) != lines.number:
                    raise SuiteError(f"{where}: id: {case.id!r} is already used on line {first}")
                cases.append(case)
                numbers.append(lines.number)
    except jsonlines.InvalidLineError as error:
        cause = error.__cause__
        what = _line_problem(cause, lines=lines, in_header=header is None)
        kind = SuiteError if header else HeaderError
        raise kind(f"{name}:{lines.number}: {what}") from cause
    if header is None:
        raise SuiteError(f"{name}: empty file; the first line has to be {HEADER_EXAMPLE}")
    if not cases:
        raise SuiteError(f"{name}: a header but no cases")
    for case, wrong in wrong_relations(cases, drawn_many_times=header.distribution):
        raise SuiteError(f"{name}:{seen[case.id]}: {wrong}")
    return Suite(
        path=name,
        workload=header.workload,
        description=header.description,
        cases=tuple(cases),
        lines=tuple(numbers),
        digest=lines.digest.hexdigest(),
        distribution=header.distribution,
        serving=header.serving,
    )


def _check_prompt(case: Case, where: str) -> None:
    given = [
        field for field in ("prompt", "messages", "token_ids") if getattr(case, field) is not None
    ]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise SuiteError(
            f"{where}: needs exactly one of prompt, messages, token_ids; found {found}"
        )
    (field,) = given
    if not getattr(case, field):
        raise SuiteError(f"{where}: {field}: empty")
    if case.prompt is not None and not case.prompt.strip():
        raise SuiteError(f"{where}: prompt: only white space")


def _line_problem(cause: BaseException | None, *, lines: _Lines, in_header: bool) -> str:
    if isinstance(cause, UnicodeDecodeError):
        return f"invalid UTF-8 at byte {lines.start + cause.start} of the file"
    if len(lines.current) == MAX_LINE_BYTES and lines.torn:
        return f"line is longer than {MAX_LINE_BYTES:,} bytes"
    assert isinstance(cause, DecodeError)
    broken = not isinstance(cause, msgspec.ValidationError)
    if broken and "truncated" in str(cause):
        if lines.torn:
            return "the file ends in the middle of this line"
        return "not valid JSON: the line ends too early, or holds half a surrogate pair"
    if in_header and (broken or _HEADER_KEY not in lines.current):
        return f"the first line has to be a header like {HEADER_EXAMPLE}"
    return explain(cause, _HEADER_SHAPES if in_header else _case_shapes(lines.current))


class _OfGrader(Struct):
    kind: object = None


class _OfCase(Struct):
    grader: _OfGrader


_decode_grader = msgspec.json.Decoder(_OfCase).decode


def _case_shapes(line: bytes) -> dict[str, type[Struct]]:
    """The shapes that a line's errors are told by: graders have one for each kind."""
    try:
        kind = decoded(_decode_grader, line).grader.kind
    except DecodeError:
        return _CASE_SHAPES
    known = KINDS.get(kind) if isinstance(kind, str) else None
    return _CASE_SHAPES | {"grader": known} if known else _CASE_SHAPES
