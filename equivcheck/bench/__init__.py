"""Measures speed: plain and speculative arms over the same prompts in turn, raw counts to disk."""
