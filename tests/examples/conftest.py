"""Makes `examples/` the package that installing it makes of it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples"
PACKAGE = "equivcheck_examples"

if PACKAGE not in sys.modules:
    spec = importlib.util.spec_from_loader(PACKAGE, loader=None, is_package=True)
    assert spec is not None
    spec.submodule_search_locations = [str(FOLDER)]
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
