"""Pairs of target and draft: where they come from and whether they fit each other."""

import os

from equivcheck.core.extras import has_torch

if not has_torch():
    # Tokenizers and configs need none, and what does says so itself.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
