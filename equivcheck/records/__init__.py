"""A run on disk: its nouns, its files, its folder, and where two answers in it part.

Reads and writes; asks no engine and judges nothing.
"""
