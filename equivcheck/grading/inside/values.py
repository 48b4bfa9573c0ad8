"""Values as JSON between the tests and the answer: plain ones as copies, all others by a handle.

Only what this module names is ever built from a message: no code, no pickle, no class of the
sender's. A subclass of a plain type arrives as the plain type. What handles stand for is left to
`calls`.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

_SMALL = 2**63
_MANY: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_BY_ARGUMENTS: dict[str, Callable[..., Any]] = {
    "complex": complex,
    "range": range,
    "slice": slice,
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "timezone": datetime.timezone,
}
_NAMED = (
    types.ModuleType,
    type,
    types.BuiltinFunctionType,
    types.FunctionType,
    types.MethodDescriptorType,
)
CHANGEABLE = (list, dict, set, bytearray)


class NoValueError(Exception):
    """A message holds what none of this module's writers writes."""


def encode(value: Any, *, other: Callable[[Any], Any]) -> Any:
    """JSON for ``value``; what is not plain is left to ``other``."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        whole = int.__index__(value)
        return whole if -_SMALL < whole < _SMALL else ["int", hex(whole)]
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return ["bytes" if isinstance(value, bytes) else "bytearray", bytes(value).hex()]
    for name, kind in _MANY.items():
        if isinstance(value, kind):
            return [name, *(encode(item, other=other) for item in value)]
    if isinstance(value, dict):
        pairs = dict.items(value)
        return ["dict", *([encode(k, other=other), encode(v, other=other)] for k, v in pairs)]
    for name, built in _BY_ARGUMENTS.items():
        if type(value) is built:
            return ["value", name, encode(list(_arguments(value)), other=other)]
    if (path := _path(value)) is not None:
        return ["named", *path]
    return other(value)


def decode(record: Any, *, other: Callable[[list[Any]], Any]) -> Any:
    """The value of a message.

    Raises:
        NoValueError: it is none.
    """
    if not isinstance(record, list):
        return record
    try:
        tag, *rest = record
        if tag == "int":
            return int(rest[0], 16)
        if tag in ("bytes", "bytearray"):
            data = bytes.fromhex(rest[0])
            return data if tag == "bytes" else bytearray(data)
        if tag in _MANY:
            return _MANY[tag](decode(item, other=other) for item in rest)
        if tag == "dict":
            return {decode(k, other=other): decode(v, other=other) for k, v in rest}
        if tag == "value":
            return _BY_ARGUMENTS[rest[0]](*decode(rest[1], other=other))
        if tag == "named":
            return _named(*rest)
        return other(record)
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        AttributeError,
        ImportError,
    ) as error:
        raise NoValueError(repr(error)) from None


def take_over(mine: Any, theirs: Any) -> Any:
    """Make a list, dict, set or bytearray what it has become elsewhere, parts of it included.

    Returns what it is now, which is ``theirs`` where it cannot be changed or is something else.
    """
    if isinstance(mine, list) and isinstance(theirs, list):
        kept = [take_over(old, new) for old, new in zip(mine, theirs, strict=False)]
        mine[:] = kept + theirs[len(kept) :]
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        kept_items = {key: take_over(mine.get(key), new) for key, new in theirs.items()}
        mine.clear()
        mine.update(kept_items)
    elif isinstance(mine, set) and isinstance(theirs, set):
        mine.clear()
        mine.update(theirs)
    elif isinstance(mine, bytearray) and isinstance(theirs, bytearray):
        mine[:] = theirs
    else:
        return theirs
    return mine


def _arguments(value: Any) -> tuple[Any, ...]:
    if isinstance(value, complex):
        return value.real, value.imag
    if isinstance(value, fractions.Fraction):
        return value.numerator, value.denominator
    arguments: tuple[Any, ...] = value.__reduce__()[1]
    return arguments


def _path(value: Any) -> tuple[str, str] | None:
    """Module and name of what the standard library has under that very name, if it does."""
    if isinstance(value, types.ModuleType):
        module, name = value.__name__, ""
    elif isinstance(value, _NAMED):
        home = getattr(value, "__objclass__", value)
        module, name = str(home.__module__), str(getattr(value, "__qualname__", ""))
    else:
        return None
    try:
        return (module, name) if _named(module, name) is value else None
    except (LookupError, AttributeError, ImportError):
        return None


def _named(module: str, name: str) -> Any:
    """A module, class or function of the standard library; no object, which may equal anything."""
    if module.partition(".")[0] not in sys.stdlib_module_names:
        raise LookupError(module)
    found: Any = importlib.import_module(module)
    for part in name.split(".") if name else ():
        found = getattr(found, part)
    if not isinstance(found, _NAMED):
        raise LookupError(name)
    return found
