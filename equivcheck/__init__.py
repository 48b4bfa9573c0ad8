"""equivcheck: prove a speculative decoder lossless, or show where it is not.

The public names live here and load lazily: importing the package costs no torch, numpy or scipy.
The rooms, each importing only from those below it:

    cli                   the command line: one verb a file
    plugin                a pytest session as one run
    fault_matrix          every seeded fault and control against every check
    pipeline              what a verb does from end to end: run, judge again, replay, draw more
    bench                 measurements: arms in turn, clocks, memory
    compare               a run or measurement against a baseline
    capture               asks every arm what the plan says and writes each answer down
    report                one view of a judged run, for terminal, Markdown, HTML and exports
    evaluations           graded answers that another tool logged of two arms
    advise                from a measurement and a verdict to enable, hold or disable
    testing               for authors of adapters: does an engine keep the protocol
    checks                from evidence to findings and the verdict
    scoring               an independent forward pass over what was generated
    metrics               a measurement on disk, and what follows from it
    engines               one adapter a file, found by entry point
    baselines             saved runs: files, limits, trend
    statistics            tests of a sampled distribution; rates with intervals
    grading               whether an answer is right by itself
    faults                seeded faults: each overrides a method of the decoder
    decoding              the decoder
    pairs                 target and draft models: found, loaded, aligned
    records               a run on disk: records, scores, folder, divergences
    core                  cases, requests, generations, findings, settings, errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equivcheck.core.cases import Case as Case
    from equivcheck.core.cases import Sampling as Sampling
    from equivcheck.core.cases import Suite as Suite
    from equivcheck.core.engine import Capabilities as Capabilities
    from equivcheck.core.engine import Engine as Engine
    from equivcheck.core.errors import EngineError as EngineError
    from equivcheck.core.errors import EngineGoneError as EngineGoneError
    from equivcheck.core.errors import EquivcheckError as EquivcheckError
    from equivcheck.core.errors import PairError as PairError
    from equivcheck.core.errors import SettingsError as SettingsError
    from equivcheck.core.generation import DraftCounts as DraftCounts
    from equivcheck.core.generation import Generation as Generation
    from equivcheck.core.generation import Request as Request
    from equivcheck.core.generation import Step as Step
    from equivcheck.core.generation import TokenScore as TokenScore
    from equivcheck.core.load_suites import load_suite as load_suite
    from equivcheck.core.refusals import lacking as lacking
    from equivcheck.core.settings import EngineSetup as EngineSetup
    from equivcheck.core.settings import Settings as Settings
    from equivcheck.engines.device import load_setup as load_setup
    from equivcheck.engines.registry import decode_options as decode_options
    from equivcheck.engines.registry import load_engine as load_engine
    from equivcheck.pairs.files import PairFiles as PairFiles
    from equivcheck.pairs.files import locate_pair as locate_pair
    from equivcheck.pairs.load import LoadedPair as LoadedPair
    from equivcheck.pairs.load import load_pair as load_pair
    from equivcheck.pairs.tokenizer import load_tokenizer as load_tokenizer
    from equivcheck.pipeline.assertions import assert_equivalent as assert_equivalent
    from equivcheck.testing import assert_engine as assert_engine
    from equivcheck.testing import check_engine as check_engine

__version__ = "0.1.0"

_HOMES = {
    "core.cases": ("Case", "Sampling", "Suite"),
    "core.engine": ("Capabilities", "Engine"),
    "core.errors": (
        "EngineError",
        "EngineGoneError",
        "EquivcheckError",
        "PairError",
        "SettingsError",
    ),
    "core.generation": ("DraftCounts", "Generation", "Request", "Step", "TokenScore"),
    "core.load_suites": ("load_suite",),
    "core.refusals": ("lacking",),
    "core.settings": ("EngineSetup", "Settings"),
    "engines.device": ("load_setup",),
    "engines.registry": ("decode_options", "load_engine"),
    "pairs.files": ("PairFiles", "locate_pair"),
    "pairs.load": ("LoadedPair", "load_pair"),
    "pairs.tokenizer": ("load_tokenizer",),
    "pipeline.assertions": ("assert_equivalent",),
    "testing": ("assert_engine", "check_engine"),
}
"""Module to the public names that it defines."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'equivcheck' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"equivcheck.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
