"""equivcheck: prove a speculative decoder lossless, or show where it is not.

The public names live here and load lazily: importing the package costs no torch, numpy or scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equivcheck.assertions import assert_equivalent as assert_equivalent
    from equivcheck.cases import Case as Case
    from equivcheck.cases import Sampling as Sampling
    from equivcheck.cases import Suite as Suite
    from equivcheck.settings import Settings as Settings
    from equivcheck.suites import load_suite as load_suite

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
    "assert_equivalent": "equivcheck.assertions",
    "Case": "equivcheck.cases",
    "Sampling": "equivcheck.cases",
    "Settings": "equivcheck.settings",
    "Suite": "equivcheck.cases",
    "load_suite": "equivcheck.suites",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'equivcheck' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
