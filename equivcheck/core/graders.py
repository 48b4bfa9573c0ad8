"""What an answer is graded by, one record a kind, and what comes of it: `Graded`.

Pure data, validated on construction from JSON by msgspec: ``{"kind": "exact", ...}``. How a grade
is come by is `grade.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct

from equivcheck.core.errors import EquivcheckError

Cell = int | float | str | None
BETWEEN_LOOKS, MOST_LOOKS = 10_000, 5_000
"""Instructions of SQLite between two looks at a fixture, which may take so many of these: seconds.
"""
TEST = "test_"
"""How functions begin that are called as tests."""


class GradingError(EquivcheckError):
    """An answer cannot be graded here: nothing contains its code, or the grader is unusable."""


class Graded(Struct, frozen=True):
    """Whether an answer is right, and why or why not, fit for a terminal."""

    passed: bool
    why: str


class GradingLimits(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What grading one answer may take before it is stopped and has failed."""

    seconds: Annotated[float, Meta(gt=0.0, le=600.0)] = 5.0
    """Wall clock; the processor's time is limited to the same, rounded up."""
    memory_mib: Annotated[int, Meta(ge=64)] = 512
    """Address space of a process, MiB."""
    file_kib: Annotated[int, Meta(ge=0)] = 1024
    """The longest file it may write, KiB."""
    folder_kib: Annotated[int, Meta(ge=4)] = 16_384
    """What all files of an answer's code may hold together, KiB; they are in memory."""
    output_kib: Annotated[int, Meta(ge=1)] = 256
    """What it may print, KiB."""


class Exact(Struct, frozen=True, forbid_unknown_fields=True, tag="exact", tag_field="kind"):
    """The answer is this text, white space around it apart."""

    answer: str


class Regex(Struct, frozen=True, forbid_unknown_fields=True, tag="regex", tag_field="kind"):
    """The whole answer matches this pattern of Python's `re`."""

    pattern: str

    def __post_init__(self) -> None:
        """Refuse what is no pattern."""
        try:
            re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"pattern: {error}") from None


class Json(
    Struct, frozen=True, forbid_unknown_fields=True, tag="json", tag_field="kind", kw_only=True
):
    """The answer is one JSON document, and valid under the schema where there is one.

    A schema needs the package `jsonschema`; its references are never fetched from outside.
    """

    schema: dict[str, Any] | None = None
    prefix: str = ""
    """What of the prompt belongs to the answer, such as ``{``."""

    def __post_init__(self) -> None:
        """Refuse what is no schema, where that can be told."""
        if self.schema is None or find_spec("jsonschema") is None:
            return
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for

        try:
            validator_for(self.schema, default=Draft202012Validator).check_schema(self.schema)
        except SchemaError as error:
            raise ValueError(f"schema: {error.json_path}: {error.message}") from None
        except RecursionError:
            raise ValueError("schema: nested too deeply") from None


class Sql(
    Struct, frozen=True, forbid_unknown_fields=True, tag="sql", tag_field="kind", kw_only=True
):
    """The answer is one SQLite query that returns these rows from this database."""

    fixture: str
    """The script that makes the tables and fills them."""
    rows: tuple[tuple[Cell, ...], ...]
    ordered: bool = False
    """Whether the order of the rows counts."""
    prefix: str = ""
    """What of the prompt belongs to the query, such as ``SELECT``."""

    def __post_init__(self) -> None:
        """Refuse a script that makes no database."""
        # Not every Python is built with it, and few suites need it.
        import sqlite3

        def in_memory(action: int, *_: str | None) -> int:
            """Let it do all but open files."""
            outside = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
            return sqlite3.SQLITE_DENY if outside else sqlite3.SQLITE_OK

        with closing(sqlite3.connect(":memory:")) as database:
            database.set_authorizer(in_memory)
            looks = iter(range(MOST_LOOKS))
            database.set_progress_handler(lambda: next(looks, None) is None, BETWEEN_LOOKS)
            try:
                database.executescript(self.fixture)
            except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError) as error:
                raise ValueError(f"fixture: {error}") from None


class Python(
    Struct, frozen=True, forbid_unknown_fields=True, tag="python", tag_field="kind", kw_only=True
):
    """The answer is Python code that passes these tests.

    Tests run top to bottom, in a process of their own, where they find what the code defines;
    functions ``test_*`` that they define are called afterwards, without arguments. The standard
    library is all that either can import.
    """

    tests: str
    prefix: str = ""
    """What of the prompt belongs to the code, such as the head of the function."""

    def __post_init__(self) -> None:
        """Refuse tests that are no Python, or that could not fail."""
        try:
            tree = ast.parse(self.tests)
        except (RecursionError, MemoryError):
            # Python's parser says the latter, too, where its stack is full.
            raise ValueError("tests: nested too deeply") from None
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"tests: {error}") from None
        if not any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(tree)):
            raise ValueError("tests: assert nothing, so that any code would pass")
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith(TEST):
                raise ValueError(f"tests: {node.name} is async, and nothing awaits it")
        if not any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for node in _run(tree)):
            raise ValueError(
                f"tests: no assertion is ever reached; put it into a function {TEST}*, or call the "
                f"one that holds it"
            )


def _run(tree: ast.Module) -> Iterator[ast.AST]:
    """What is run of tests: all but the insides of functions that nobody is known to call."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            called = isinstance(node, ast.FunctionDef) and node.name.startswith(TEST)
            if not (called and node in tree.body):
                continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


Grader = Exact | Regex | Json | Sql | Python
KINDS: dict[str, type[Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Grader)
}
"""Name of each kind of grader, as suites write it."""


def grader_of(record: object) -> Grader:
    """Build a grader from decoded JSON.

    Raises:
        msgspec.ValidationError: a key or value does not fit, with its path.
    """
    return msgspec.convert(record, Grader)  # type: ignore[no-any-return]
