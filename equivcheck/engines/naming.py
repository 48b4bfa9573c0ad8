"""How engines are named: by what is installed, or by a table of the settings. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from equivcheck.core.engine_tables import EngineTable
from equivcheck.core.errors import SettingsError

ISOLATED = "isolated"
"""Before a name: in a process of its own."""
URLS = ("http://", "https://")
_BETWEEN = re.compile(r"\+(?=https?://)")
"""What joins the URLs of replicas."""


class EngineSpec(Struct, frozen=True, kw_only=True):
    """An engine as users name it: ``native`` or ``isolated:native:gamma=4,drafter=lookup``."""

    name: str
    options: dict[str, str] = {}
    isolated: bool = False
    """Whether it is to run in a process of its own."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a specification. Values are kept as text; `decode_options` gives them types.

        A URL stands for ``http:url=URL``, by itself or in front of other options.

        Raises:
            SettingsError: no name, an option without a value, or one given twice.
        """
        name, listed = _parted(text)
        if isolated := name == ISOLATED:
            name, listed = _parted(listed)
        if not name or name == ISOLATED:
            known = f"NAME or {ISOLATED}:NAME" if isolated else "NAME"
            raise SettingsError(
                f"engine {text!r}: no name; write {known}, :option=value,... behind it"
            )
        options: dict[str, str] = {}
        for item in listed.split(",") if listed else ():
            option, equals, value = (part.strip() for part in item.partition("="))
            if not option or not equals or not value:
                raise SettingsError(f"engine {text!r}: {item.strip()!r} is not option=value")
            if option in options:
                raise SettingsError(f"engine {text!r}: {option} is given twice")
            options[option] = value
        return cls(name=name, options=options, isolated=isolated)

    def __str__(self) -> str:
        """The specification as a user would write it."""
        listed = ",".join(f"{option}={value}" for option, value in self.options.items())
        named = f"{ISOLATED}:{self.name}" if self.isolated else self.name
        return f"{named}:{listed}" if listed else named


def urls_of(text: str) -> tuple[str, ...]:
    """The URLs of an option ``url``: of one server, or of replicas, with ``+`` between them."""
    return tuple(_BETWEEN.split(text))


def _parted(text: str) -> tuple[str, str]:
    """The name and what follows it."""
    if text.strip().startswith(URLS):
        return "http", f"url={text.strip()}"
    name, _, listed = (part.strip() for part in text.partition(":"))
    return name, f"url={listed}" if listed.startswith(URLS) else listed


def in_full(spec: EngineSpec, tables: Mapping[str, EngineTable]) -> EngineSpec:
    """The installed engine that a specification means, with all its options.

    A table may have the name of an installed engine: it then says how that one is opened.

    Raises:
        SettingsError: the table is wrong.
    """
    table = tables.get(spec.name)
    if table is None:
        return spec
    try:
        inner = EngineSpec.parse(table.engine)
    except SettingsError as error:
        raise SettingsError(f"engine.{spec.name}: {error}") from error
    isolated = table.isolated or inner.isolated or spec.isolated
    if wrong := _wrong_server(table, inner, isolated=isolated):
        raise SettingsError(f"engine.{spec.name}: {wrong}")
    if not isolated and table.start is None and table.of_process:
        name = next(iter(table.of_process))
        raise SettingsError(
            f"engine.{spec.name}: {name} is of a process of its own; say isolated = true"
        )
    return EngineSpec(name=inner.name, options=inner.options | spec.options, isolated=isolated)


def _wrong_server(table: EngineTable, inner: EngineSpec, *, isolated: bool) -> str | None:
    """What does not go together where a table starts a server; None: nothing."""
    if table.start is None:
        given = [name for name in ("ready", "stop") if getattr(table, name) is not None]
        return f"{given[0]} is of a server that is started; say start = COMMAND" if given else None
    if inner.name != "http" or "url" not in inner.options:
        return 'start is of a server; say which by engine = "http://127.0.0.1:PORT"'
    if isolated or table.python is not None:
        return "a server that is started has a process already; leave out isolated and python"
    given = [name for name in ("answer_seconds", "token_seconds") if name in table.limits]
    told = "is of an engine, not of a server; say timeout=SECONDS in engine"
    return f"{given[0]} {told}" if given else None


def name_in(text: str) -> str:
    """The name that a text would have as a specification; it may be none."""
    name, _, rest = text.partition(":")
    return (rest.partition(":")[0] if name.strip() == ISOLATED else name).strip()


def read_spec(text: str, tables: Mapping[str, EngineTable]) -> EngineSpec:
    """`EngineSpec.parse` and `in_full`.

    Raises:
        SettingsError: the specification or the table that it names is wrong.
    """
    return in_full(EngineSpec.parse(text), tables)
