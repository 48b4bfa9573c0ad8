"""The proof of the detector: every seeded fault against every check, and controls."""
