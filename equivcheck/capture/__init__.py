"""Ask every arm what the plan says and write each answer down.

`draws/` samples cases many times. Nothing here judges, grades or reports.
"""
