"""The recipe of the bundled pair, from packages to weights. Not used at run time."""
