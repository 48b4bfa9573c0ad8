"""Grades answers by themselves: is it the right answer, whichever decoder gave it.

Says nothing about equivalence. The package is empty on purpose: the child of the sandbox goes
through it and needs nothing.
"""
