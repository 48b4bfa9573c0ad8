"""Who may import torch, what is light, and what no file contains; `make lint` keeps the layers."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.unit.source import PACKAGE, ROOT, imports, module_of, modules, tracked_text

FRAMEWORKS = {"torch", "transformers"}
MAY_IMPORT_FRAMEWORKS = {
    "bench.clocks": "times work on a GPU by events in its stream",
    "bench.probing": "asks tensors for their size and the device for its peak",
    "bench.worst": "is a drafter, which names tensors",
    "decoding": "the decoder is tensor arithmetic",
    "engines.device": "asks torch which device there is and what sets its arithmetic",
    "engines.models": "keeps the decoder's models",
    "engines.native": "opens the decoder",
    "engines.thread_timing": "sets torch's threads and times its products",
    "engines.timing": "times the decoder's steps",
    "engines.transformers": "runs the library itself",
    "engines.transformers_config": "speaks the library's words",
    "engines.transformers_modes": "hands models to the library",
    "engines.transformers_steps": "plugs into the library's hooks",
    "faults": "a fault overrides a seam of the decoder",
    "pairs": "loads and converts models and tokenizers",
    "pipeline.repeating": "is the script of a bundle, which asks the library on its own",
    "scoring.arithmetic": "works on distributions on the device",
    "scoring.carried": "multiplies ratios of distributions from the device",
    "scoring.columns": "reduces distributions on the device",
    "scoring.forcing": "runs forward passes over what was generated",
    "scoring.intervals": "works on rows of logits",
    "scoring.distributions": "works on rows of logits",
    "scoring.penalties": "works on rows of logits",
    "scoring.reduction": "reduces distributions on the device",
    "scoring.reference": "runs the reference's forward pass",
    "scoring.text_gaps": "works on rows of logits",
    "scoring.replay": "takes distributions from the device, row by row",
    "scoring.distribution_scorer": "brings models, distributions and outputs together",
    "scoring.served": "spreads a server's rows over the vocabulary",
    "scoring.served_reference": "asks a server what the reference would say",
    "scoring.stages": "works on distributions on the device",
    "scoring.told": "works on rows of logits",
    "scoring.wrong_distributions": "reduces distributions on the device",
    "serving.prefix_store": "keeps blocks of the decoder's cache",
    "serving.server": "orders the decoder's steps",
}
"""Module or room of the package, to why it needs torch or transformers. Nobody else does."""

LONGEST = {"equivcheck": 300, "benchmarks": 300, "tests": 350}
MEDIAN = 130
HEAVY = {"torch", "transformers", "numpy", "scipy", "rich", "safetensors"}
LIGHT = (
    "capture.environment",
    "checks",
    "checks.verdict",
    "core.load_settings",
    "core.load_suites",
    "records.divergence",
    "records.records_file",
    "report.markdown",
    "report.terminal",
    "report.write",
    "statistics.acceptance_rate",
)
"""What judges and shows a run."""


def within(name: str, room: str) -> bool:
    """Whether a dotted name lies in a room of the package."""
    return f"{name}.".startswith(f"equivcheck.{room}.")


def frameworks_imported() -> Iterator[str]:
    for name, file in modules().items():
        if any(found.name.partition(".")[0] in FRAMEWORKS for found in imports(file)):
            yield name


def test_few_import_torch_and_each_has_a_reason() -> None:
    importing = set(frameworks_imported())
    excused = {
        name for name in importing if any(within(name, room) for room in MAY_IMPORT_FRAMEWORKS)
    }
    assert importing - excused == set()


def test_no_reason_outlives_its_import() -> None:
    importing = set(frameworks_imported())
    idle = {
        room for room in MAY_IMPORT_FRAMEWORKS if not any(within(name, room) for name in importing)
    }
    assert idle == set()


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {
        name: {
            target
            for found in imports(file)
            if not found.lazy and (target := module_of(found.name, known)) not in (None, name)
        }
        for name, file in known.items()
    }
    assert_no_circle(graph)


def assert_no_circle(graph: Mapping[str, Collection[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_files_are_short() -> None:
    lengths = {
        file.relative_to(ROOT): len(file.read_text(encoding="utf-8").splitlines())
        for folder in LONGEST
        for file in (ROOT / folder).rglob("*.py")
    }
    long = {str(file) for file, lines in lengths.items() if lines > LONGEST[file.parts[0]]}
    assert long == set()
    assert statistics.median(lengths.values()) <= MEDIAN


def loaded(*names: str) -> str:
    """Which heavy packages are there once modules of the package are imported."""
    statements = "; ".join(f"import {name}" for name in names)
    code = f"import sys; {statements}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module", ["equivcheck", "equivcheck.pytest_plugin", "equivcheck.cli.main"], ids=str
)
def test_importing_the_faces_is_light(module: str) -> None:
    assert loaded(module) == "[]"


def test_judging_and_showing_a_run_is_light() -> None:
    assert loaded(*(f"equivcheck.{name}" for name in LIGHT)) == "[]"


# Put together here, so that this file does not contain them.
UNWANTED = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "pragma: no " + "cover")
OUTSIDE = ("../" + "shared", "/work" + "/", "/tmp" + "/brief")


@pytest.mark.parametrize("words", [UNWANTED, OUTSIDE], ids=["unfinished", "outside"])
def test_no_tracked_file_contains(words: tuple[str, ...]) -> None:
    files = tracked_text()
    assert "pyproject.toml" in files
    found = {f"{name}: {word}" for name, text in files.items() for word in words if word in text}
    assert found == set()
