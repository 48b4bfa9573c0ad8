"""Measurements that are too long for tests. Each writes raw JSON lines and prints a summary."""

from equivcheck.threads import spin_briefly

spin_briefly()
