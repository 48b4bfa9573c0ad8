"""Say what is wrong with decoded data in the project's own words: ``field: what``.

Wraps msgspec's complaints, for suites, settings and records alike. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar, get_args

from msgspec import DecodeError, Struct, ValidationError, convert, to_builtins
from msgspec.structs import fields

from equivcheck.core.errors import did_you_mean

T = TypeVar("T")

_AT = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$")
_CHOICE = re.compile(r"^Invalid (?:enum )?value (?P<value>.*)$", re.DOTALL)
_INDEX = re.compile(r"\[(?:\d+|\.\.\.)\]")
_NEAR = 20
"""Bytes shown on either side of one that is no UTF-8."""


def field_names(struct: type[Struct]) -> list[str]:
    """The keys that ``struct`` is decoded from."""
    return [field.encode_name for field in fields(struct)]


def decoded(decode: Callable[[bytes | str], T], data: bytes | str) -> T:
    """What a decoder of msgspec's makes of ``data``.

    Raises:
        DecodeError: it cannot be used. For a string that is no UTF-8, and for nesting deeper than
            the stack, msgspec itself raises other errors.
    """
    try:
        return decode(data)
    except UnicodeDecodeError as error:
        near = error.object[max(0, error.start - _NEAR) : error.end + _NEAR]
        raise DecodeError(f"invalid UTF-8 in a string, near {repr(near)[1:]}") from error
    except RecursionError as error:
        raise DecodeError("nested too deeply") from error


def explain(error: DecodeError, shapes: Mapping[str, type[Struct]]) -> str:
    """Rephrase ``error`` as ``sampling.temperature: expected `float`, got `str```.

    Args:
        error: What msgspec raised.
        shapes: Dotted path without indices (``""`` for the top, ``sampling``) to the struct that
            is decoded there; needed to suggest a known key for an unknown one.
    """
    message = str(error)
    if not isinstance(error, ValidationError):
        return f"not valid JSON: {message.removeprefix('JSON is malformed: ')}"
    at = _AT.search(message)
    path = at["path"].lstrip(".") if at else ""
    message = message[: at.start()] if at else message
    if unknown := _UNKNOWN.match(message):
        return _unknown_key(unknown["name"], path=path, shapes=shapes)
    if missing := _MISSING.match(message):
        return f"{_join(path, missing['name'])}: missing"
    if choice := _CHOICE.match(message):
        return _bad_choice(choice["value"], path=path, shapes=shapes)
    field, colon, problem = message.partition(": ")
    if colon and field in _known(path, shapes):
        return f"{_join(path, field)}: {problem}"
    keys = "keys: " if at and at["key"] else ""
    message = keys + message[:1].lower() + message[1:]
    return f"{path}: {message}" if path else message


def unrecordable(struct: Struct) -> str | None:
    """The first field whose value no record could hold, and why; None: there is none.

    For structs that somebody else made. Numbers are plain ones: an element of a tensor or of an
    array is none, and neither a bool nor a float is an int.
    """
    shape, plain = type(struct), {}
    for name in struct.__struct_fields__:
        try:
            plain[name] = to_builtins(getattr(struct, name))
        except TypeError as error:
            return f"{name}: {error}"
    try:
        convert(plain, shape)
    except ValidationError as error:
        return explain(error, {"": shape})
    return None


def _unknown_key(name: str, *, path: str, shapes: Mapping[str, type[Struct]]) -> str:
    known = _known(path, shapes)
    listed = f"; known: {', '.join(known)}" if known else ""
    shown = ascii(name[:60])[1:-1]
    return f"{_join(path, shown)}: unknown key{did_you_mean(name, known)}{listed}"


def _known(path: str, shapes: Mapping[str, type[Struct]]) -> list[str]:
    shape = _INDEX.sub("", path)
    return field_names(shapes[shape]) if shape in shapes else []


def _bad_choice(value: str, *, path: str, shapes: Mapping[str, type[Struct]]) -> str:
    table, _, name = _INDEX.sub("", path).rpartition(".")
    choices = fields(shapes[table]) if table in shapes else ()
    types = {field.encode_name: field.type for field in choices}
    known = [str(choice) for choice in get_args(types.get(name))]
    listed = f"; valid: {', '.join(known)}" if known else ""
    shown = ascii(value[:60])[1:-1]
    return (
        f"{path}: {shown} is not a valid value{did_you_mean(value.strip(chr(39)), known)}{listed}"
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
