"""One view of a run, rendered for a terminal and for machines."""
