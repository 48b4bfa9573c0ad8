"""Makes suites of other tools' files, and lists what could not be carried over."""
