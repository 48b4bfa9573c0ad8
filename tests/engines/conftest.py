from __future__ import annotations

import pytest

from equivcheck.core.settings import EngineSetup
from tests.engines.pairs import save_pair


@pytest.fixture(scope="session")
def setup(tmp_path_factory: pytest.TempPathFactory) -> EngineSetup:
    """A setup on the small random pair, fp32, one thread."""
    pair = save_pair(tmp_path_factory.mktemp("pair"))
    return EngineSetup(pair=pair, device="cpu", threads=1, batch_size=4, context=256)
