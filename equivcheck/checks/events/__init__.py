"""What happened in a run: events, counted from its records, by one vocabulary for all verbs."""
