"""What all tests share: pytest inside pytest, and no summary of their own runs on GitHub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from equivcheck.core.settings import EngineSetup

pytest_plugins = ["pytester"]
os.environ.pop("GITHUB_STEP_SUMMARY", None)
if not Path("/dev/nvidiactl").exists():
    # Read when a kernel is defined, so it has to be set before anything imports one.
    os.environ["TRITON_INTERPRET"] = "1"

# A busy machine is no reason to fail.
hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def setup(tmp_path_factory: pytest.TempPathFactory) -> EngineSetup:
    """A setup on the small random pair, fp32, one thread."""
    from equivcheck.core.settings import EngineSetup
    from tests.small_models import save_pair

    pair = save_pair(tmp_path_factory.mktemp("pair"))
    return EngineSetup(pair=pair, device="cpu", threads=1, batch_size=4, context=256)
