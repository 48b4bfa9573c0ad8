"""Tell which other tool a file comes from, by its first record, and say which command takes it.

What a foreign file's records mean is the business of `equivcheck.conversion`; here they only get a
name, so that every verb can say what it was given in place of what it reads.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import msgspec

MOST_BYTES = 64 * 2**20
"""Read of a file to name it; of one that is a single document, all has to be read."""
GZIP = b"\x1f\x8b"
COLUMNS = ("prompt", "text", "instruction", "question", "input")
"""Where a record of any other kind may have its prompt, the first that is there."""

Keys = Mapping[str, Any]


class Format(NamedTuple):
    """One kind of file that prompts come in."""

    name: str
    """As ``equivcheck suite from --format`` has it."""
    what: str
    fits: Callable[[Keys], bool]


def _dict(record: Keys, *names: str) -> bool:
    return all(isinstance(record.get(name), dict) for name in names)


def _list(record: Keys, *names: str) -> bool:
    return any(isinstance(record.get(name), list) for name in names)


def _text(record: Keys, *names: str) -> bool:
    return all(isinstance(record.get(name), str) for name in names)


def _asks(record: Keys) -> bool:
    request = record.get("request")
    return isinstance(request, dict) and ("messages" in request or "prompt" in request)


TEXT = "text"
SUITE, RUN, MEASUREMENT = "a suite", "the records of a run", "a measurement"
BASELINE = "a baseline"
AIPERF = "a profile export of AIPerf"
"""``profile_export.jsonl``: times and acceptance by request, without prompts and answers."""
FORMATS = (
    Format("openai-batch", "OpenAI batch requests", lambda r: _dict(r, "body") and "url" in r),
    Format("chat-log", "a log of chat requests", _asks),
    Format("sharegpt", "ShareGPT conversations", lambda r: _list(r, "conversations")),
    Format(
        "lm-eval", "samples of lm-evaluation-harness", lambda r: {"doc_id", "arguments"} <= {*r}
    ),
    Format("inspect", "an inspect log", lambda r: _dict(r, "eval") and _list(r, "samples")),
    Format("humaneval", "HumanEval problems", lambda r: _text(r, "prompt", "entry_point", "test")),
    Format(
        "gsm8k",
        "GSM8K problems",
        lambda r: _text(r, "question", "answer") and "####" in r["answer"],
    ),
    Format(
        "questions",
        "questions in turns, as of MT-Bench, Spec-Bench or SPEED-Bench",
        lambda r: _list(r, "turns") or _text(r, "turns"),
    ),
    Format("requests", "chat messages", lambda r: _list(r, "messages")),
    Format("column", "records with a prompt", lambda r: any(_text(r, name) for name in COLUMNS)),
    Format(TEXT, "a prompt a line", lambda r: False),
)
_ALSO_BROKEN_SUITES = ("column", TEXT)
"""Formats that a suite whose header is forgotten or broken may look like."""
_NO_PROMPTS: tuple[tuple[str, Callable[[Keys], bool]], ...] = (
    (
        "the answers to OpenAI batch requests; the file of the requests has the prompts",
        lambda r: "custom_id" in r and "response" in r,
    ),
    (
        "a result of vLLM's benchmark: times, without the prompts",
        lambda r: "request_throughput" in r or "output_throughput" in r,
    ),
    (
        "results of lm-evaluation-harness without its samples; it writes them with --log_samples",
        lambda r: _dict(r, "results", "configs"),
    ),
)


class ForeignFile(NamedTuple):
    """What a file turned out to be."""

    what: str
    format: str | None
    """Name of the format that can be made into a suite; None: no suite can be made of it."""


def recognise(record: object) -> ForeignFile | None:
    """Name the kind of file that a record begins; None: it is not known."""
    if isinstance(record, list) and record:
        # An array of records, or one conversation.
        first = record[0]
        turn = isinstance(first, dict) and {"role", "content"} <= {*first}
        return recognise({"messages": record} if turn else first)
    if not isinstance(record, dict):
        return None
    if record.get("type") == "header" and "schema" in record:
        settings = record.get("settings")
        bench = isinstance(settings, dict) and isinstance(settings.get("arms"), list)
        return ForeignFile(MEASUREMENT if bench else RUN, None)
    if "equivcheck" in record:
        return ForeignFile(SUITE, None)
    if is_aiperf(record):
        return ForeignFile(AIPERF, None)
    for what, fits in _NO_PROMPTS:
        if fits(record):
            return ForeignFile(what, None)
    for known in FORMATS:
        if known.fits(record):
            return ForeignFile(known.what, known.name)
    return None


def is_aiperf(record: Keys) -> bool:
    """Whether a line is one of AIPerf's records of a request."""
    return _dict(record, "metadata", "metrics") and "session_num" in record["metadata"]


def is_aiperf_file(path: Path) -> bool:
    """Whether a file begins as AIPerf's records of requests do."""
    found = _found(path)
    return found is not None and found.what == AIPERF


def is_suite(path: Path) -> bool:
    """Whether a file begins as a suite does."""
    found = _found(path)
    return found is not None and found.what == SUITE


def what_is(path: Path, *, instead_of: str, otherwise: str) -> str:
    """What a file is ``instead_of`` a suite, say, and the command that takes it.

    Args:
        path: Of the file, which could not be read as what was wanted.
        instead_of: `SUITE`, `RUN`, `MEASUREMENT` or `BASELINE`.
        otherwise: What is wrong with it where it is not known, or is what was wanted.
    """
    found = _found(path)
    if found is None or found.what == instead_of:
        return otherwise
    shown = quote(str(path))
    told = f"{path}: {found.what}, not {instead_of}"
    if found.format in _ALSO_BROKEN_SUITES:
        if instead_of != SUITE:
            return otherwise
        return f"{otherwise}; or make a suite of {found.what}: equivcheck suite from {shown}"
    if found.format:
        return f"{told}; make a suite of it: equivcheck suite from {shown}"
    if found.what == AIPERF:
        return f"{told}; this takes it: equivcheck compare OLDER {shown}"
    if verb := {SUITE: "run", RUN: "judge", MEASUREMENT: "advise"}.get(found.what):
        return f"{told}; this takes it: equivcheck {verb} {shown}"
    return told


def _found(path: Path) -> ForeignFile | None:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.readline(MOST_BYTES)
            while head and not head.strip():
                head = file.readline(MOST_BYTES)
            found = recognise(_decoded(head)) or recognise(
                _decoded(head + file.read(MOST_BYTES - len(head)))
            )
    except (OSError, EOFError, zlib.error):
        return None
    if found is None and head.strip() and head.lstrip()[:1] not in (b"{", b"["):
        return ForeignFile("a file with a prompt a line", TEXT)
    return found


def _decoded(data: bytes) -> object:
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
