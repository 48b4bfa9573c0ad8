"""Keep transformers' progress bars out of the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from transformers.utils import logging as _logging

logging: Any = _logging


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars inside; what was set before holds again afterwards."""
    before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            logging.enable_progress_bar()
