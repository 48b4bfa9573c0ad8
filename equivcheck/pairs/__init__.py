"""Pairs of target and draft: where they come from and whether they fit each other."""
