"""What a verb does from end to end: the only place that strings rooms together."""
