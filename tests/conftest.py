"""What all tests share: pytest inside pytest, and no summary of their own runs on GitHub."""

import os
from pathlib import Path

pytest_plugins = ["pytester"]
os.environ.pop("GITHUB_STEP_SUMMARY", None)
if not Path("/dev/nvidiactl").exists():
    # Read when a kernel is defined, so it has to be set before anything imports one.
    os.environ["TRITON_INTERPRET"] = "1"
