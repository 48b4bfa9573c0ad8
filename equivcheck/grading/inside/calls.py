"""Calls between the tests and the answer, which run in two processes that share nothing.

Each side asks the other to call, read or iterate an object that it knows by a number, waits for
what comes of it, and meanwhile answers what it is asked. Plain values cross as copies (`values`);
a list, dict, set or bytearray that was given to a call is brought up to date when it returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from equivcheck.grading.inside.remote import OPERATIONS, Remote, number_of, stand_in
from equivcheck.grading.inside.values import CHANGEABLE, NoValueError, decode, encode, take_over


class InterferenceError(BaseException):
    """The other side is gone, or says what it never would by itself."""


class Link:
    """One side's end: what it has given away by number, and the pipes to the other."""

    def __init__(
        self,
        hear: BinaryIO,
        say: BinaryIO,
        *,
        may_give: Callable[[Any], bool] = lambda value: True,
        may_ask: Callable[[str, Any, Any], bool] = lambda operation, value, name: True,
        functions: bool = False,
    ) -> None:
        """Take the pipes.

        Args:
            hear: From the other side.
            say: To the other side.
            may_give: Whether the other side may know an object of this one at all.
            may_ask: Whether it may have something done to one: operation, object, name.
            functions: Whether the other side's functions become functions of this process.
        """
        self.broken = ""
        """Why no more sense can be made of the other side; empty while it can."""
        self._hear, self._say = hear, say
        self._may_give, self._may_ask = may_give, may_ask
        self._functions = functions
        self._given: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, Any] = {}
        self._stand_ins: dict[int, int] = {}

    def ask(self, operation: str, target: int, *arguments: Any, **keywords: Any) -> Any:
        """Have the other side do something to its object ``target``; its exception is raised here.

        Raises:
            InterferenceError: no sense can be made of what comes back.
            TypeError: an argument may not be given away.
        """
        given = [self._encoded(item) for item in arguments]
        self.send(["ask", operation, target, given, self._encoded(keywords)])
        while (message := self.receive())[0] == "ask":
            self._serve(message)
        if len(message) != 3 or not isinstance(message[2], list):
            self._break()
        kind, value, after = message
        for mine, theirs in zip(arguments, after, strict=False):
            take_over(mine, self._decoded(theirs))
        found = self._decoded(value)
        if kind != "raised":
            return found
        raise found if isinstance(found, BaseException) else TypeError("no exception")

    def serve(self) -> None:
        """Answer what is asked until the other side is gone."""
        while True:
            self._serve(self.receive())

    def give(self, value: Any) -> int:
        """The number under which the other side will know an object, from 0 in order."""
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._given)
            self._given.append(value)
        return self._numbers[id(value)]

    def send(self, message: list[Any]) -> None:
        """Say one thing."""
        try:
            self._say.write(json.dumps(message).encode("ascii") + b"\n")
            self._say.flush()
        except OSError:
            self._break("ends before it is judged")

    def receive(self) -> list[Any]:
        """Hear one thing."""
        line = self._hear.readline()
        if not line:
            self._break("ends before it is judged")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._break()
        if not isinstance(message, list) or not message:
            self._break()
        return message

    def _serve(self, message: list[Any]) -> None:
        try:
            _, operation, number, given, keywords = message
            arguments, named = [self._decoded(item) for item in given], self._decoded(keywords)
            target = self._mine(number)
        except (ValueError, TypeError, NoValueError):
            self._break()
        try:
            value = self._do(operation, target, arguments, named)
            reply = ["came", self._encoded(value)]
        except InterferenceError:
            raise
        # Whatever is raised is what came of it, leaving by SystemExit included.
        except BaseException as error:
            reply = ["raised", self._encoded(error)]
        after = [self._encoded(x) if isinstance(x, CHANGEABLE) else None for x in arguments]
        self.send([*reply, after])

    def _do(self, operation: str, target: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        if not self._may_ask(operation, target, arguments[0] if arguments else None):
            raise PermissionError(f"the tests do not let that be done to a {type(target).__name__}")
        if operation == "call":
            return target(*arguments, **named)
        if operation == "get":
            return getattr(target, *arguments)
        if operation == "set":
            return setattr(target, *arguments)
        if operation == "isinstance":
            return isinstance(arguments[0], target)
        return OPERATIONS[operation](target, *arguments)

    def _encoded(self, value: Any) -> Any:
        return encode(value, other=self._other)

    def _other(self, value: Any) -> Any:
        if type(value) is Remote:
            return ["yours", number_of(value)]
        if id(value) in self._stand_ins:
            return ["yours", self._stand_ins[id(value)]]
        if isinstance(value, BaseException):
            try:
                arguments = self._encoded(list(value.args))
            except TypeError:
                arguments = []
            return ["raising", self._encoded(type(value)), arguments]
        if isinstance(value, type) and issubclass(value, BaseException):
            base = next(kind for kind in value.__mro__ if kind.__module__ == "builtins")
            return ["error", self.give(value), value.__name__, self._encoded(base)]
        if not self._may_give(value):
            raise TypeError(f"a {type(value).__name__} of the tests cannot be given to the answer")
        named = value.__name__ if callable(value) and hasattr(value, "__name__") else None
        return ["mine", self.give(value), named]

    def _decoded(self, record: Any) -> Any:
        try:
            return decode(record, other=self._known)
        except (NoValueError, RecursionError):
            self._break()

    def _known(self, record: list[Any]) -> Any:
        tag, *rest = record
        if tag == "yours":
            (number,) = rest
            return self._mine(number)
        if tag == "raising":
            kind, arguments = (self._decoded(part) for part in rest)
            return _raised(kind, arguments)
        if tag not in ("error", "mine"):
            raise NoValueError(tag)
        number, name, *base = rest
        if number not in self._theirs:
            made: Any
            if tag == "error":
                made = _error(str(name), base=self._decoded(*base))
            elif self._functions and isinstance(name, str):
                made = stand_in(self, number, name)
                self._stand_ins[id(made)] = number
            else:
                made = Remote(self, number)
            self._theirs[number] = made
        return self._theirs[number]

    def _mine(self, number: Any) -> Any:
        if not isinstance(number, int) or not 0 <= number < len(self._given):
            raise NoValueError(number)
        return self._given[number]

    def _break(self, why: str = "interferes with its own grading") -> NoReturn:
        # Kept, as tests may swallow whatever is raised.
        self.broken = self.broken or why
        raise InterferenceError(why)


def _error(name: str, *, base: Any) -> type[BaseException]:
    if not (isinstance(base, type) and issubclass(base, BaseException)):
        raise NoValueError(name)
    return type(name, (base,), {"__module__": "answer"})


def _raised(kind: Any, arguments: Any) -> BaseException:
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise NoValueError("no exception")
    try:
        return kind(*arguments)
    # One that takes other arguments than it keeps.
    except Exception:
        return kind.__new__(kind, *arguments)
