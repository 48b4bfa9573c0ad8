"""What all tests share: pytest inside pytest."""

pytest_plugins = ["pytester"]
