"""What every adapter in `examples/` keeps, and what those do whose package is installed here."""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from equivcheck.core.generation import Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.pipeline.bundle_templates import GROUP
from tests.examples.conftest import FOLDER, PACKAGE

SHARED = {"one_at_a_time", "remembering", "sound"}
LONGEST = 80
INSTALLED = {"equivcheck", PACKAGE, "msgspec", "numpy", "torch", "transformers"}
"""What may be imported before an engine is opened: equivcheck needs all of it."""
FILES = {path.stem for path in FOLDER.glob("*.py")} - SHARED
REPEATS = sorted(name for name in FILES if name.startswith("repeat_"))
"""What adapters offer to bundles."""
ADAPTERS = sorted(FILES - {*REPEATS})
REPEATING = tuple(range(10, 40)) * 2
GREEDY = {
    "core_deepinfer": ("core_deepinfer", ("", "gamma=0")),
    "dejavuu": ("dejavuu", ("", "method=pld", "tree=true", "method=baseline")),
    "dflash": ("dflash", ("",)),
    "economize": ("economize", ("", "drafter=lookup", "drafter=layer_skip")),
    "flashmap": ("flashmap", ("", "drafts=new")),
    "flashspec": ("flashspec", ("", "mode=ngram", "mode=composite", "mode=plain")),
    "mini_infer": ("mini_infer", ("", "own=true")),
    "naive_speculate": ("naive_speculate", ("",)),
    "ort_genai": ("onnxruntime_genai", ("", "mode=ngram", "mode=draft")),
    "seqspecdecod": ("seqspecdecod", ("cut=true",)),
    "speculative_decoding": ("speculative_decoding", ("cut=true",)),
}
"""Adapter to its package and the options under which its greedy output is plain decoding's."""
CASES = [(name, options) for name, (_, each) in GREEDY.items() for options in each]


def registered(group: str = "equivcheck.engines") -> dict[str, str]:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    entries: dict[str, str] = project["entry-points"][group]
    return entries


def top_level_imports(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def options_of(text: str) -> dict[str, str]:
    return dict(item.split("=") for item in text.split(",") if item)


def make_requests() -> list[Request]:
    return [
        Request(key=f"test/{i}", prompt_ids=REPEATING[i : i + 20 + 7 * i], max_new_tokens=24)
        for i in range(3)
    ]


@pytest.mark.parametrize("name", [*ADAPTERS, *REPEATS])
def test_an_adapter_is_short(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("name", [*ADAPTERS, *sorted(SHARED)])
def test_it_imports_its_package_only_where_it_is_opened(name: str) -> None:
    wanted = set(top_level_imports(FOLDER / f"{name}.py"))
    assert wanted <= INSTALLED | sys.stdlib_module_names
    assert importlib.import_module(f"{PACKAGE}.{name}")


def test_every_adapter_is_registered_and_described() -> None:
    assert registered() == {name: f"{PACKAGE}.{name}:open_engine" for name in ADAPTERS}
    told = (FOLDER / "README.md").read_text()
    assert [name for name in ADAPTERS if f"`{name}`" not in told] == []


@pytest.mark.parametrize("name", REPEATS)
def test_what_goes_into_a_bundle_needs_nothing_of_equivcheck(name: str) -> None:
    engine = name.removeprefix("repeat_")
    assert engine in ADAPTERS
    assert registered(GROUP)[engine] == f"{PACKAGE}.{name}"
    text = (FOLDER / f"{name}.py").read_text()
    assert "import equivcheck" not in text
    assert "from equivcheck" not in text


@pytest.mark.parametrize(("name", "options"), CASES)
def test_where_its_package_is_installed_greedy_tokens_are_plain_decodings(
    name: str, options: str, setup: EngineSetup
) -> None:
    if find_spec(GREEDY[name][0]) is None:
        pytest.skip(f"{GREEDY[name][0]} is not installed")
    module: Any = importlib.import_module(f"{PACKAGE}.{name}")
    engine = module.open_engine(options_of(options), setup)
    plain = {
        each.key: each for each in load_engine("native:gamma=0", setup).generate(make_requests())
    }
    for answer in engine.generate(make_requests()):
        assert answer.token_ids == plain[answer.key].token_ids
        assert answer.finish_reason == plain[answer.key].finish_reason
        if engine.capabilities.reports_steps:
            assert sum(step.emitted for step in answer.steps) == len(answer.token_ids)
    engine.close()
