"""Naming, typing and opening engines, without any of the real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from equivcheck.cli.engines import problem_of
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines import registry
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.registry import decode_options, known_engines, load_engine

NO_FUNCTION = 3


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    gamma: Annotated[int, Meta(ge=0)] = 4
    adaptive: bool = False
    drafter: Literal["model", "lookup"] = "model"
    width: int | None = None


class Echo:
    """An engine that only knows what it was opened with."""

    def __init__(self, options: Mapping[str, str], setup: EngineSetup) -> None:
        self.options, self.setup = dict(options), setup

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(engine="echo", device="cpu", dtype=self.setup.dtype)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        return iter(())

    def close(self) -> None:
        self.options.clear()


def needs_a_stranger(options: Mapping[str, str], setup: EngineSetup) -> Echo:
    raise ModuleNotFoundError("No module named 'stranger.core'", name="stranger.core")


def breaks(options: Mapping[str, str], setup: EngineSetup) -> Echo:
    raise AttributeError("'NoneType' object has no attribute 'shape'")


def leaves(options: Mapping[str, str], setup: EngineSetup) -> Echo:
    sys.exit(0)


def opens_nothing(options: Mapping[str, str], setup: EngineSetup) -> None:
    return None


class Nameless(Echo):
    told: Any = None

    @property
    def capabilities(self) -> Any:
        return self.told


class Mistyped(Nameless):
    told = Capabilities(engine="echo", device="cpu", dtype="float32", batch_size=1.0)  # type: ignore[arg-type]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    here = __name__
    entries = [
        metadata.EntryPoint(name, value, registry.GROUP)
        for name, value in {
            "echo": f"{here}:Echo",
            "stranger": f"{here}:needs_a_stranger",
            "breaks": f"{here}:breaks",
            "leaves": f"{here}:leaves",
            "nothing": f"{here}:opens_nothing",
            "nameless": f"{here}:Nameless",
            "mistyped": f"{here}:Mistyped",
            "number": f"{here}:NO_FUNCTION",
            "gone": f"{here}:no_such_function",
            "lost": "no_such_package.engine:open_engine",
        }.items()
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: entries)


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("native", "native", {}),
        ("native:", "native", {}),
        ("native:gamma=4", "native", {"gamma": "4"}),
        (" a : b = c , d = e=f ", "a", {"b": "c", "d": "e=f"}),
        ("http://h:80", "http", {"url": "http://h:80"}),
        (" https://h/v1,batch=4", "http", {"url": "https://h/v1", "batch": "4"}),
        ("http:http://h:80,model=m", "http", {"url": "http://h:80", "model": "m"}),
        ("http:url=http://h:80", "http", {"url": "http://h:80"}),
    ],
)
def test_parse(text: str, name: str, options: dict[str, str]) -> None:
    assert EngineSpec.parse(text) == EngineSpec(name=name, options=options)


def test_a_spec_prints_as_it_is_written() -> None:
    for text in ("native", "native:gamma=4,drafter=lookup"):
        assert str(EngineSpec.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no name"),
        (":gamma=4", "no name"),
        ("native:gamma", "'gamma' is not option=value"),
        ("native:gamma=", "'gamma=' is not option=value"),
        ("native:gamma=1,,width=8", "'' is not option=value"),
        ("native:gamma=1,gamma=2", "gamma is given twice"),
    ],
)
def test_a_malformed_spec_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        EngineSpec.parse(text)


def test_options_get_their_types() -> None:
    given = {"gamma": "7", "adaptive": "true", "drafter": "lookup", "width": "none"}
    assert decode_options("native", given, Options) == Options(
        gamma=7, adaptive=True, drafter="lookup", width=None
    )
    assert decode_options("native", {}, Options) == Options()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"gama": "4"}, r"engine native: gama: unknown key \(did you mean 'gamma'\?\); known: gam"),
        ({"gamma": "four"}, "engine native: gamma: expected `int`"),
        ({"gamma": "-1"}, "engine native: gamma: expected `int` >= 0"),
        ({"gamma": "none"}, "engine native: gamma: expected `int`"),
        ({"drafter": "lokup"}, r"did you mean 'lookup'\?\); valid: model, lookup"),
    ],
)
def test_wrong_options_are_named(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        decode_options("native", options, Options)


@pytest.mark.usefixtures("registered")
def test_an_engine_gets_its_options_and_the_setup() -> None:
    setup = EngineSetup(pair="smollm2")
    engine = load_engine("echo:a=1", setup)
    assert isinstance(engine, Echo)
    assert engine.options == {"a": "1"}
    assert engine.setup is setup


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("ecko", r"no engine named 'ecko' \(did you mean 'echo'\?\); known: breaks, echo"),
        ("stranger", "engine 'stranger' needs 'stranger.core'.*pip install stranger"),
        ("gone", "engine 'gone' is registered as .*:no_such_function, which does not exist"),
        ("lost", "engine 'lost' is registered as no_such_package.*, which does not exist"),
        ("number", "engine 'number' is registered as .*:NO_FUNCTION, which is no function"),
        ("breaks:a=1", "^engine 'breaks:a=1' cannot be opened: AttributeError: 'NoneType' object"),
        ("leaves", "^engine 'leaves' cannot be opened: SystemExit: 0"),
        ("nothing", "^engine 'nothing' cannot be used: its function returned None"),
        ("nameless", "^engine 'nameless' .* capabilities are of the type NoneType, not Capa"),
        ("mistyped", "^engine 'mistyped' .*: batch_size: expected `int`, got `float`"),
    ],
)
def test_what_cannot_be_opened_says_why(spec: str, complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint):
        load_engine(spec, EngineSetup())


def test_where_nothing_is_installed_no_name_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    with pytest.raises(EngineError, match=r"not installed; try: pip install -e \."):
        load_engine("native", EngineSetup())


@pytest.mark.usefixtures("registered")
def test_an_engines_own_bug_is_kept_as_the_cause() -> None:
    with pytest.raises(EngineError) as caught:
        load_engine("breaks", EngineSetup())
    assert isinstance(caught.value.__cause__, AttributeError)


def test_what_is_no_function_does_not_load() -> None:
    assert problem_of(f"{__name__}:NO_FUNCTION") == f"{__name__}:NO_FUNCTION is no function"
    assert problem_of(f"{__name__}:Echo") is None


def test_a_module_that_leaves_python_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves_python.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert problem_of("leaves_python:open_engine") == "SystemExit: 0"


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [metadata.EntryPoint("a", f"{where}:open_engine", "g") for where in ("x", "y", "x")]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: entries)
    with pytest.raises(EngineError, match="'a' is registered twice: as x:open_engine and y:open"):
        known_engines()


def test_the_bundled_engines_are_known() -> None:
    assert {"http", "native", "transformers", "replay"} <= set(known_engines())


def test_knowing_engines_imports_none_of_them() -> None:
    code = (
        "import sys; from equivcheck.engines.registry import known_engines; known_engines();"
        "print(*{'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.usefixtures("registered")
def test_an_engine_that_became_an_example_says_where_it_is() -> None:
    with pytest.raises(
        EngineError, match=r"examples/flashspec\.py; try, .*pip install \./examples"
    ):
        load_engine("flashspec:gamma=4", EngineSetup())
