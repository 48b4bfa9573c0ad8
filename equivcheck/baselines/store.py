"""Baselines as files: one readable JSON each, a case a line, so that a diff shows what moved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from equivcheck.core.atomic_write import replace, writing
from equivcheck.core.errors import EquivcheckError, did_you_mean
from equivcheck.core.foreign import BASELINE, what_is
from equivcheck.core.validation import decoded, explain
from equivcheck.records.baseline_record import SCHEMA, Baseline, point_of

FOLDER = Path(".equivcheck") / "baselines"
DEFAULT = "main"
MOST_HISTORY = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

State = Literal["missing", "unreadable", "from a newer version"]


class BaselineError(EquivcheckError):
    """A baseline cannot be used. Has a state, and the command that mends it; never a pass."""

    def __init__(self, state: State, what: str, *, fix: str) -> None:
        super().__init__(f"{state}: {what}")
        self.state = state
        self.fix = fix


def nearest_folder() -> Path:
    """Where baselines are: in the current folder, or in the nearest above it that has some."""
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / FOLDER).is_dir():
            return FOLDER if place == here else place / FOLDER
    return FOLDER


def is_name(name: str) -> bool:
    """Whether a baseline may be called so."""
    return _NAME.fullmatch(name) is not None


def path_of(name: str, *, folder: Path | None = None) -> Path:
    """The file of a baseline: of a name in the folder, or the path itself.

    Raises:
        EquivcheckError: it is neither a path to a JSON file nor fit for a file's name.
    """
    if name.endswith(".json"):
        return Path(name)
    if not is_name(name):
        raise EquivcheckError(
            f"baseline name {name!a}: letters, digits, dot, dash and underscore only, 64 at most"
        )
    return (folder or nearest_folder()) / f"{name}.json"


def names(*, folder: Path | None = None) -> list[str]:
    """What is saved, readable or not."""
    return sorted(path.stem for path in (folder or nearest_folder()).glob("*.json"))


def read_baseline(name: str, *, folder: Path | None = None) -> Baseline:
    """Read one back, by name or by file.

    Raises:
        BaselineError: there is none, or it cannot be used; says which and what mends it.
    """
    path = path_of(name, folder=folder)
    again = f"equivcheck baseline save --name {path.stem}"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        hint = did_you_mean(path.stem, names(folder=folder))
        raise BaselineError("missing", f"{path}: no such baseline{hint}", fix=again) from None
    except OSError as error:
        what = f"{path}: cannot be read: {error.strerror}"
        raise BaselineError("unreadable", what, fix=again) from error
    try:
        schema = decoded(_decode_version, data).equivcheck_baseline
        if schema > SCHEMA:
            raise BaselineError(
                "from a newer version",
                f"{path}: schema {schema}, this equivcheck reads up to {SCHEMA}",
                fix="pip install --upgrade equivcheck",
            )
        return decoded(_decode_baseline, data)
    except msgspec.DecodeError as error:
        wrong = f"{path}: {explain(error, {})}"
        what = what_is(path, instead_of=BASELINE, otherwise=wrong)
        raise BaselineError("unreadable", what, fix=again) from error


def write_baseline(baseline: Baseline, path: Path) -> Baseline:
    """Write whole or not at all; what stood there becomes history, where it is comparable.

    Returns:
        The baseline as written, with its history.

    Raises:
        EquivcheckError: it cannot be written.
    """
    try:
        earlier: Baseline | None = read_baseline(str(path))
    except BaselineError:
        earlier = None
    if (
        earlier is not None
        and earlier.facts == baseline.facts
        and earlier.run_key != (baseline.run_key)
    ):
        history = (*earlier.history, point_of(earlier))[-MOST_HISTORY:]
        baseline = msgspec.structs.replace(baseline, history=history)
    elif earlier is not None and earlier.facts == baseline.facts:
        baseline = msgspec.structs.replace(baseline, history=earlier.history)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, text_of(baseline))
    return baseline


def text_of(baseline: Baseline) -> str:
    """JSON with one line a fact, a case and a point of history."""
    tree: dict[str, Any] = msgspec.to_builtins(baseline)
    return _block(tree, indent="") + "\n"


def _block(value: Any, *, indent: str) -> str:
    """Maps of maps and lists open up; what holds only plain values stays on its line."""
    inner = indent + "  "
    if isinstance(value, Mapping) and value and _opens(value):
        items = [f"{inner}{_line(str(k))}: {_block(v, indent=inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        items = [f"{inner}{_line(each)}" for each in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    return _line(value)


def _opens(value: Mapping[str, Any]) -> bool:
    return any(isinstance(each, Mapping | list | tuple) for each in value.values()) or (
        len(value) > 2
    )


def _line(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class _Versioned(msgspec.Struct):
    equivcheck_baseline: int


_decode_version = msgspec.json.Decoder(_Versioned).decode
_decode_baseline = msgspec.json.Decoder(Baseline).decode
