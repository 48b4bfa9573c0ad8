"""Compare a run or a measurement with a baseline, and say what changed; take baselines of both."""
