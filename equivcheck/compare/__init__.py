"""Take baselines: from a judged run, a measurement, or whatever a user names."""
