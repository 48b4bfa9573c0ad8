"""equivcheck: prove a speculative decoder lossless, or show where it is not.

The public names live here and load lazily: importing the package costs no torch, numpy or scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equivcheck.core.cases import Case as Case
    from equivcheck.core.cases import Sampling as Sampling
    from equivcheck.core.cases import Suite as Suite
    from equivcheck.core.load_suites import load_suite as load_suite
    from equivcheck.core.settings import Settings as Settings
    from equivcheck.pipeline.assertions import assert_equivalent as assert_equivalent

__version__ = "0.1.0"
__all__ = [
    "Case",
    "Sampling",
    "Settings",
    "Suite",
    "__version__",
    "assert_equivalent",
    "load_suite",
]

_HOMES = {
    "assert_equivalent": "equivcheck.pipeline.assertions",
    "Case": "equivcheck.core.cases",
    "Sampling": "equivcheck.core.cases",
    "Settings": "equivcheck.core.settings",
    "Suite": "equivcheck.core.cases",
    "load_suite": "equivcheck.core.load_suites",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'equivcheck' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
