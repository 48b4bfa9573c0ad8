"""What stands for an object of the other process: it asks there for whatever is done to it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

_BETWEEN_TWO = ("eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv",
                "mod", "pow", "and_", "or_", "xor", "matmul")  # fmt: skip
_ALONE: dict[str, Callable[..., Any]] = {
    "len": len,
    "iter": iter,
    "next": next,
    "bool": bool,
    "str": str,
    "repr": repr,
    "hash": hash,
    "neg": operator.neg,
    "contains": operator.contains,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "enter": lambda target: type(target).__enter__(target),
    "exit": lambda target, *raised: type(target).__exit__(target, *raised),
}
OPERATIONS = _ALONE | {name: getattr(operator, name) for name in _BETWEEN_TWO}


class Asks(Protocol):
    """What can put a question to the other process."""

    def ask(self, operation: str, target: int, *arguments: Any, **keywords: Any) -> Any:
        """Have it done there, and return what came of it."""


class Remote:
    """An object of the other side's.

    Compared or added up with a plain value it is not asked: an object that says it equals
    everything would pass any test.
    """

    __slots__ = ("_link", "_number")

    def __init__(self, link: Asks, number: int) -> None:
        """Stand for object ``number`` of the other side."""
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return _ask(self, "call", *arguments, **keywords)

    def __getattribute__(self, name: str) -> Any:
        """Read it there, whatever it is called; only its class is this one."""
        return type(self) if name == "__class__" else _ask(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "set", name, value)

    def __instancecheck__(self, value: object) -> bool:
        """Ask there, of an object that is from there."""
        return type(value) is Remote and _ask(self, "isinstance", value) is True


def number_of(remote: Remote) -> int:
    """The number by which the other side knows it."""
    number: int = object.__getattribute__(remote, "_number")
    return number


def stand_in(link: Asks, number: int, name: str) -> Callable[..., Any]:
    """A function of this process for one of the other's, for what takes functions only."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        return link.ask("call", number, *arguments, **keywords)

    call.__name__ = call.__qualname__ = name
    return call


def _ask(remote: Remote, operation: str, *arguments: Any, **keywords: Any) -> Any:
    link: Asks = object.__getattribute__(remote, "_link")
    return link.ask(operation, number_of(remote), *arguments, **keywords)


def _alone(operation: str) -> Callable[..., Any]:
    def method(self: Remote, *arguments: Any) -> Any:
        return _ask(self, operation, *arguments)

    return method


def _exit(self: Remote, kind: Any, raised: Any, _trace: Any) -> Any:
    # A trace holds the frames of its process, and stays there.
    return _ask(self, "exit", kind, raised, None)


def _between_two(operation: str) -> Callable[..., Any]:
    def method(self: Remote, other: object) -> Any:
        return _ask(self, operation, other) if type(other) is Remote else NotImplemented

    return method


for _name in _ALONE:
    setattr(Remote, f"__{_name}__", _alone(_name))
for _name in _BETWEEN_TWO:
    setattr(Remote, f"__{_name.strip('_')}__", _between_two(_name))
Remote.__exit__ = _exit  # type: ignore[attr-defined]
