"""The nouns that all rooms share, how user files are read, and how errors are said.

Knows no other room. Writes no run, opens no engine, judges nothing.
"""
