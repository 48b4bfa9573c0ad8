from __future__ import annotations

from importlib.metadata import entry_points

from equivcheck.engines.about import BUNDLED
from equivcheck.engines.registry import GROUP


def test_every_engine_of_this_package_is_described() -> None:
    own = {
        entry.name
        for entry in entry_points(group=GROUP)
        if entry.value.startswith("equivcheck.engines.")
    }
    assert set(BUNDLED) == own
