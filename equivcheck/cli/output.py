"""What a verb writes: words or one JSON document to stdout, progress and errors to stderr.

A reader that goes away (``equivcheck run | head -1``), a full disk behind stdout, or none at all
costs the words, never the exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from errno import EBADF, EDQUOT, EFBIG, EIO, ENOSPC, EPIPE
from typing import TextIO, TypeVar

import click
import msgspec

Function = TypeVar("Function", bound=Callable[..., object])


class Output:
    """Where a verb's words go, and whether they are for people or for machines."""

    def __init__(self, *, as_json: bool) -> None:
        """With ``as_json`` nothing but one JSON document reaches stdout."""
        self.as_json = as_json

    def say(self, text: str) -> None:
        """Print for people; silent where JSON was asked for. Line ends in ``text`` are our own."""
        if not self.as_json:
            _write(_harmless(text), sys.stdout)

    def say_lines(self, lines: Iterable[str]) -> None:
        """Print a line each: no text within one can start another."""
        if not self.as_json:
            from equivcheck.core.escape import harmless

            _write("\n".join(map(harmless, lines)), sys.stdout)

    def draw(self, write: Callable[[TextIO], None]) -> None:
        """Let ``write`` print for people on stdout, in colour where it is a terminal."""
        if not self.as_json:
            with forgiving(sys.stdout):
                write(sys.stdout)
                sys.stdout.flush()

    def document(self, data: object) -> None:
        """Print one compact line of JSON, where it was asked for."""
        if self.as_json:
            from equivcheck.core.escape import escaped_json

            tree = msgspec.to_builtins(data, str_keys=True)
            text = escaped_json(msgspec.json.encode(tree, order="deterministic").decode())
            # As bytes: JSON is UTF-8 whatever stdout is for words.
            _write(text.encode(), sys.stdout)


def open_streams() -> None:
    """Put the null device in the place of standard streams that are closed.

    Otherwise the next file that is opened, the records say, would stand where they stood, and take
    what a library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def say_error(message: str) -> None:
    """One error, to stderr. It may quote an engine or a file, so it is made visible here."""
    _write(f"equivcheck: {_harmless(message)}", sys.stderr)


def note(message: str) -> None:
    """A remark for people that must not disturb stdout."""
    _write(_harmless(message), sys.stderr)


def json_option(function: Function) -> Function:
    """Give a verb ``--json``."""
    option = click.option(
        "--json", "as_json", is_flag=True, help="One compact JSON document instead of words."
    )
    return option(function)


def _harmless(message: str) -> str:
    """With controls as escapes; its own line ends stay."""
    from equivcheck.core.escape import harmless

    return "\n".join(map(harmless, message.split("\n")))


def _write(text: str | bytes, stream: TextIO) -> None:
    with forgiving(stream):
        click.echo(text, file=stream)


@contextmanager
def forgiving(stream: TextIO) -> Iterator[None]:
    """Let what is written to a stream be lost where it takes nothing more."""
    try:
        yield
    except OSError as error:
        if error.errno not in (EPIPE, ENOSPC, EBADF, EIO, EFBIG, EDQUOT):
            raise
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
