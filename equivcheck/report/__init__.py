"""One view of a run, rendered for people and for machines; `export/` serves other tools."""
