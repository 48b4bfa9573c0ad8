"""Make suites of a foreign file: its format found, its records carried over, the losses counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.conversion import conversations, questions, requests
from equivcheck.conversion.drafts import Draft, Ids, case_of, workload_of
from equivcheck.conversion.hugging_face import PREFIX, is_dataset, rows_of
from equivcheck.conversion.losses import LeftOutError, Loss, Losses, Taken
from equivcheck.conversion.read import ReadRecord, records_of
from equivcheck.core.cases import Case
from equivcheck.core.errors import SuiteError, unknown_name
from equivcheck.core.foreign import FORMATS, SUITE, TEXT, recognise
from equivcheck.core.load_suites import SuiteHeader

LIMIT = next(f.default for f in msgspec.structs.fields(Case) if f.name == "max_new_tokens")
"""Tokens of a case that names no limit."""
Reader = Callable[[Taken, Losses], Iterator[Draft]]
READERS: dict[str, Reader] = {
    "openai-batch": requests.batch_line,
    "chat-log": requests.logged,
    "sharegpt": conversations.sharegpt,
    "lm-eval": conversations.lm_eval,
    "inspect": conversations.inspect,
    "humaneval": questions.humaneval,
    "gsm8k": questions.gsm8k,
    "questions": questions.in_turns,
    "requests": requests.plain,
    "column": questions.column,
    TEXT: questions.column,
}
_ENDINGS = (".gz", ".jsonl", ".json", ".txt", ".ndjson", ".eval", ".parquet", ".arrow")


class Wanted(Struct, frozen=True, kw_only=True):
    """How a file is to be carried over, beyond what it says itself."""

    format: str | None = None
    """None: found by the first record."""
    column: str | None = None
    """Where the prompt is, in records of no known format."""
    workload: str | None = None
    """None: the file's name."""
    by_category: bool = False
    """Whether each category of the file becomes a suite of its own."""
    first: int | None = None
    """Records to carry over; None: all."""
    most_tokens: int | None = None
    """Most new tokens of a case, and how many where the file says nothing. None: as it says."""
    temperature: float | None = None
    """Where the file says nothing; None: greedy."""
    split: str | None = None
    """Split of a data set of Hugging Face; None: the only one."""
    config: str | None = None
    """Configuration of a data set of Hugging Face that has several configurations."""


class Converted(Struct, frozen=True, kw_only=True):
    """One suite to be written."""

    workload: str
    text: str
    cases: int


class Conversion(Struct, frozen=True, kw_only=True):
    """What came of a file."""

    format: str
    what: str
    records: int
    """Records of the file, those left out included."""
    suites: tuple[Converted, ...]
    not_carried: tuple[Loss, ...]
    changed: tuple[Loss, ...]
    left_out: tuple[Loss, ...]


def convert(path: Path, wanted: Wanted) -> Conversion:
    """Carry a foreign file over.

    Raises:
        SuiteError: it cannot be read, is of no known format, or no record of it becomes a case.
    """
    if is_dataset(path):
        records = rows_of(path, config=wanted.config, split=wanted.split)
    else:
        records = records_of(path, as_text=wanted.format == TEXT)
    losses, ids = Losses(), Ids()
    cases: dict[str, list[Case]] = {}
    known: set[bytes] = set()
    number, format_name = 0, wanted.format
    workload = workload_of(wanted.workload or _stem(path))
    reader: Reader | None = None
    for number, found in enumerate(records, start=1):
        if wanted.first is not None and number > wanted.first:
            losses.left_out(found.place, f"behind the first {wanted.first:,}, as asked for")
            continue
        if found.record is None:
            losses.left_out(found.place, found.why)
            continue
        if reader is None:
            format_name = format_name or _format(path, found, column=wanted.column)
            reader = _reader(format_name, wanted)
        for case, category in _cases(found, reader, losses, ids=ids, number=number, wanted=wanted):
            said = msgspec.json.encode(msgspec.structs.replace(case, id="x"))
            if format_name == "lm-eval" and said in known:
                losses.left_out(found.place, "asks the same as another, for another filter")
                continue
            known.add(said)
            of_category = wanted.by_category and category
            home = workload_of(f"{workload}-{category}") if of_category else workload
            cases.setdefault(home, []).append(case)
    if not cases:
        why = f": {losses.records[0].why}" if losses.records else ""
        raise SuiteError(f"{path}: no record of it can be a case{why}")
    what = next(known.what for known in FORMATS if known.name == format_name)
    return Conversion(
        format=str(format_name),
        what=what,
        records=number,
        suites=tuple(
            _suite(home, found, f"{what}, from {path.name}.") for home, found in cases.items()
        ),
        not_carried=losses.keys,
        changed=losses.changes,
        left_out=losses.records,
    )


def _cases(
    found: ReadRecord, reader: Reader, losses: Losses, *, ids: Ids, number: int, wanted: Wanted
) -> Iterator[tuple[Case, str | None]]:
    """The cases of a record, and the category of each; a record that has none is left out."""
    session = ""
    try:
        for draft in reader(Taken(found.record or {}), losses):
            fields = _completed(draft.fields, losses, wanted)
            case_id = ids.of(draft.name, number=number)
            if draft.in_session:
                session = session or case_id
                fields["session"] = session
            yield case_of(draft._replace(fields=fields), case_id), draft.category
    except LeftOutError as error:
        losses.left_out(found.place, str(error))


def _completed(fields: dict[str, Any], losses: Losses, wanted: Wanted) -> dict[str, Any]:
    """With what the file leaves open as was asked for, or as a suite has it."""
    fields = dict(fields)
    most, limit = wanted.most_tokens, fields.get("max_new_tokens")
    if most is None and limit is None:
        losses.changed("no limit of tokens", f"{LIMIT}, which --tokens changes")
    if most is not None:
        if isinstance(limit, int) and limit > most:
            losses.changed("max_new_tokens", f"{most}, the most that was asked for")
        fields["max_new_tokens"] = min(limit, most) if isinstance(limit, int) else most
    sampling = fields.get("sampling", {})
    if "temperature" not in sampling:
        if wanted.temperature is None:
            losses.changed("no temperature", "greedy, which --temperature changes")
        else:
            fields["sampling"] = {**sampling, "temperature": wanted.temperature}
    return fields


def _stem(path: Path) -> str:
    name = path.name.removeprefix(PREFIX)
    while name.lower().endswith(_ENDINGS) and "." in name.strip("."):
        name = name.rpartition(".")[0]
    return name


def _format(path: Path, found: ReadRecord, *, column: str | None) -> str:
    record = found.record or {}
    if column is not None and isinstance(record.get(column), str):
        return "column"
    if found.is_text:
        return TEXT
    known = recognise(record)
    if "equivcheck.config" in record:
        return "inspect"
    if known is None:
        keys = ", ".join(sorted(map(str, record)))[:200]
        raise SuiteError(
            f"{path}: no known format; its first record has {keys}; name the column of the prompt "
            f"with --column, or --format"
        )
    if known.format is None:
        if known.what == SUITE:
            raise SuiteError(
                f"{path}: is {SUITE}; this takes it: equivcheck run {quote(str(path))}"
            )
        raise SuiteError(f"{path}: is {known.what}, of which no suite can be made")
    return known.format


def _reader(name: str, wanted: Wanted) -> Reader:
    if name not in READERS:
        raise SuiteError(unknown_name("format", name, READERS))
    if READERS[name] is questions.column:
        return partial(questions.column, named=wanted.column)
    return READERS[name]


def _suite(workload: str, cases: list[Case], description: str) -> Converted:
    header = SuiteHeader(equivcheck=1, workload=workload, description=description)
    lines = [msgspec.json.encode(each).decode() for each in (header, *cases)]
    return Converted(workload=workload, text="\n".join([*lines, ""]), cases=len(cases))
