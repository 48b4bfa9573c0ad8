"""Compiles code as a file of its own, and says in one line what it raised."""

from __future__ import annotations

from types import CodeType


def compiled(source: str, *, file: str) -> CodeType:
    """Code as if in a module, without the future statements of this one."""
    return compile(source, file, "exec", dont_inherit=True)


def told(error: BaseException) -> str:
    """Kind and text of an exception."""
    try:
        text = str(error)
    # An exception of the answer's own may not even be printable.
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def line_of(error: BaseException, *, file: str) -> int:
    """The last line of ``file`` that it went through; 0: none."""
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
