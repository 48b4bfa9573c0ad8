"""Measurements that are too long for tests. Each writes raw JSON lines and prints a summary."""

from equivcheck.capture.threads import spin_briefly

spin_briefly()
