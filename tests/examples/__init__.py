"""Tests of the adapters in `examples/`, which are no part of the package."""
