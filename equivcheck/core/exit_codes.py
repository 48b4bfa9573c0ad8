"""What a process exits with: one table for every verb."""

from __future__ import annotations

from equivcheck.core.findings import Outcome

EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}
COULD_NOT_RUN = 2
"""An `EquivcheckError`, or an internal error: nothing was judged."""
INTERRUPTED = 130
"""By Ctrl-C, as a shell says it: 128 and the signal's number."""
