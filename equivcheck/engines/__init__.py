"""Engines: one protocol, one file an adapter, found by entry point."""
