"""Saved runs, and how a new one compares with them: paired by prompt, or not comparable at all."""
