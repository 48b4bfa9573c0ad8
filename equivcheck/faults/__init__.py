"""Seeded faults: each a small override of one seam of the native decoder."""
