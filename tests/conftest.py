"""What all tests share: pytest inside pytest, and no summary of their own runs on GitHub."""

import os

pytest_plugins = ["pytester"]
os.environ.pop("GITHUB_STEP_SUMMARY", None)
