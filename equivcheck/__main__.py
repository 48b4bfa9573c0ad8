"""``python -m equivcheck``: the command line."""

from equivcheck.cli import main

main()
