"""Score what the arms said by an independent pass: `score` reads a run's records and adds to them.

Imports no torch before there is something to score.
"""

from equivcheck.scoring.jobs import score

__all__ = ["score"]
